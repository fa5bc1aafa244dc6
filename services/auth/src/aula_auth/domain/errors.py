"""What can go wrong with people, sessions and tokens."""

from typing import ClassVar

from aula_common.errors import AulaError, ConflictError, InvalidFieldError

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class InvalidCredentialsError(AulaError):
    """Sign-in refused: unknown user, wrong password and disabled account alike."""

    code = "invalid_credentials"
    status = 401
    title = "Unauthorized"

    def __init__(self) -> None:
        super().__init__("The username or the password is wrong.", headers=_CHALLENGE)


class InvalidRefreshTokenError(AulaError):
    """The refresh token is not, or no longer, good for anything; one body for every cause."""

    code = "invalid_refresh_token"
    status = 401
    title = "Unauthorized"

    def __init__(self) -> None:
        super().__init__("The session has ended. Sign in again.", headers=_CHALLENGE)


class NameTakenError(ConflictError):
    """Another user has that username or email address; `field` says which."""

    code = "name_taken"

    def __init__(self, field: str) -> None:
        self.field = field
        super().__init__(f"This {field} is taken.", extra={"field": field})


class OwnAccountError(ConflictError):
    """Administrators change neither their own role nor their own status."""

    code = "own_account"

    def __init__(self) -> None:
        super().__init__("Your own role and status can be changed by another administrator only.")


class RegistrationClosedError(AulaError):
    """The operator has switched self-registration off."""

    code = "registration_closed"
    status = 403
    title = "Registration is closed"

    def __init__(self) -> None:
        super().__init__("Accounts are created by an administrator here.")


class WrongPasswordError(InvalidFieldError):
    """A signed-in user confirmed a change with a wrong password."""

    def __init__(self, field: str) -> None:
        super().__init__(field, "is not your password")


class UserExistsError(AulaError):
    """The first administrator's name belongs to a user who is none."""

    code = "user_exists"
    status = 409
    title = "User exists"

    def __init__(self, username: str) -> None:
        super().__init__(f"{username} exists and is not an administrator; --promote makes it one.")


class OAuthError(AulaError):
    """A refusal of the token endpoint in OAuth's own terms (RFC 6749, 5.2)."""

    status = 400
    title = "Token request refused"
    oauth_code: ClassVar[str]


class InvalidRequestError(OAuthError):
    """A parameter is missing, repeated or malformed."""

    oauth_code = "invalid_request"


class InvalidGrantError(OAuthError):
    """The password or the refresh token is not good."""

    oauth_code = "invalid_grant"

    def __init__(self) -> None:
        super().__init__("The credentials are not valid.")


class InvalidClientError(OAuthError):
    """Unknown client or wrong secret."""

    oauth_code = "invalid_client"
    status = 401

    def __init__(self) -> None:
        super().__init__(
            "Unknown client or wrong secret.", headers={"WWW-Authenticate": 'Basic realm="aula"'}
        )


class InvalidScopeError(OAuthError):
    """The client may not have that scope at that audience."""

    oauth_code = "invalid_scope"

    def __init__(self) -> None:
        super().__init__("The client may not have this scope.")


class InvalidTargetError(OAuthError):
    """The client may not call that audience (RFC 8707)."""

    oauth_code = "invalid_target"

    def __init__(self) -> None:
        super().__init__("The client may not call this audience; name one that it may.")


class UnsupportedGrantTypeError(OAuthError):
    """Not one of password, refresh_token, client_credentials."""

    oauth_code = "unsupported_grant_type"

    def __init__(self) -> None:
        super().__init__("Use password, refresh_token or client_credentials.")


class KeyRingUnreadableError(Exception):
    """The stored signing keys can't be opened: SIGNING_KEYS_SECRET is not the one they had."""

    def __init__(self) -> None:
        super().__init__(
            "The signing keys in the database were sealed with another SIGNING_KEYS_SECRET."
        )
