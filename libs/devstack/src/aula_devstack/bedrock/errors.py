"""The errors of the Bedrock runtime: names, status codes, texts."""

from collections.abc import Mapping
from typing import Any, Self

STATUS = {
    "ValidationException": 400,
    "SerializationException": 400,
    "AccessDeniedException": 403,
    "MissingAuthenticationTokenException": 403,
    "IncompleteSignatureException": 403,
    "InvalidSignatureException": 403,
    "UnrecognizedClientException": 403,
    "ExpiredTokenException": 403,
    "ResourceNotFoundException": 404,
    "UnknownOperationException": 404,
    "ModelTimeoutException": 408,
    "RequestEntityTooLargeException": 413,
    "ModelErrorException": 424,
    "ModelNotReadyException": 429,
    "ThrottlingException": 429,
    "InternalServerException": 500,
    "ServiceUnavailableException": 503,
}

MESSAGES = {
    "AccessDeniedException": "You don't have access to the model with the specified model ID.",
    "ExpiredTokenException": "The security token included in the request is expired",
    "UnrecognizedClientException": "The security token included in the request is invalid.",
    "ResourceNotFoundException": "Model is not found or has reached the end of its life.",
    "ModelTimeoutException": "The model did not finish processing the request in time.",
    "ModelErrorException": "The model returned an error while it processed the request.",
    "ModelNotReadyException": "Model is not ready for inference. Please wait and try again.",
    "ThrottlingException": "Too many requests, please wait before trying again.",
    "InternalServerException": "The system encountered an unexpected error during processing. "
    "Try your request again.",
    "ServiceUnavailableException": "Bedrock is unable to process your request.",
    "ValidationException": "The model returned the following errors: the request is invalid.",
}


class BedrockError(Exception):
    """An answer other than 200, before any event: `{"message": …}` and `x-amzn-ErrorType`."""

    def __init__(
        self, name: str, message: str | None = None, *, extra: Mapping[str, Any] | None = None
    ) -> None:
        self.name = name
        self.status = STATUS[name]
        self.message = message if message is not None else MESSAGES.get(name, name)
        self.body = {"message": self.message, **(extra or {})}
        super().__init__(f"{name}: {self.message}")

    @classmethod
    def validation(cls, message: str) -> Self:
        return cls("ValidationException", message)

    @classmethod
    def of(cls, name: str) -> Self:
        """The error `name` as the service would word it."""
        extra: dict[str, Any] = {}
        if name == "ModelErrorException":
            extra = {"originalStatusCode": 500, "resourceName": "local-model"}
        return cls(name, extra=extra)
