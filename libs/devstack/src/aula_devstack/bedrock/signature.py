"""What a signed request must carry. Secrets are not known here, so signatures are not verified."""

import re
from collections.abc import Mapping

from aula_devstack.bedrock.errors import BedrockError

_SIGV4 = re.compile(
    r"^AWS4-HMAC-SHA256 +Credential=(?P<key>[^/,\s]+)/(?P<date>\d{8})/(?P<region>[a-z0-9-]+)/"
    r"(?P<service>[a-z0-9-]+)/aws4_request, *SignedHeaders=(?P<headers>[a-z0-9;-]+), *"
    r"Signature=(?P<signature>[0-9a-f]{64})$"
)
_API_KEY = re.compile(r"^Bearer +(?:bedrock-api-key-|ABSK)\S+$")


def check_signature(headers: Mapping[bytes, bytes]) -> None:
    """Refuses (403) a request without SigV4 for the service `bedrock` or a Bedrock API key."""
    authorization = headers.get(b"authorization", b"").decode("latin-1")
    if not authorization:
        raise BedrockError("MissingAuthenticationTokenException", "Missing Authentication Token")
    if _API_KEY.match(authorization):
        return
    credential = _SIGV4.match(authorization)
    if credential is None:
        raise BedrockError(
            "IncompleteSignatureException",
            "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' "
            "parameters of AWS4-HMAC-SHA256.",
        )
    date = headers.get(b"x-amz-date", b"").decode("latin-1")
    signed = set(credential["headers"].split(";"))
    if not {"host", "x-amz-date"} <= signed or not date.startswith(credential["date"]):
        raise BedrockError(
            "IncompleteSignatureException",
            "'Host' and 'X-Amz-Date' must be signed, and the date must be the credential's.",
        )
    if credential["service"] != "bedrock":
        raise BedrockError(
            "InvalidSignatureException",
            "Credential should be scoped to correct service: 'bedrock'.",
        )
