"""Which request an answer leads to, for OpenAPI."""

from collections.abc import Mapping
from typing import Any

_SESSION_ID = "$response.body#/sessionId"
_SESSION = {"sessionId": _SESSION_ID, "userId": "$request.body#/userId"}
_ALLOCATION_ID = "$response.body#/allocations/0/allocationId"

# of what has begun a stream
OF_STREAM: Mapping[int | str, dict[str, Any]] = {
    201: {
        "links": {
            "show": {"operationId": "get_session", "parameters": {"sessionId": _SESSION_ID}},
            **{
                action: {"operationId": action, "requestBody": _SESSION}
                for action in ("heartbeat", "finalize", "abort")
            },
        }
    }
}

# of what has given credits
OF_ALLOCATIONS: Mapping[int | str, dict[str, Any]] = {
    201: {
        "links": {
            "revoke": {
                "operationId": "revoke_allocation",
                "parameters": {"allocationId": _ALLOCATION_ID},
            }
        }
    }
}
