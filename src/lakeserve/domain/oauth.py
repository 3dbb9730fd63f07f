"""OAuth's rules that need nothing else: who may ask a person to log in, and how the answer is tied to who asked.

Refusals have names and a shape of their own, which OAuth clients know (RFC 6749, 5.2).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import StrEnum

ALL_APIS = "all-apis"
OFFLINE = "offline_access"
PUBLIC_CLIENT = "databricks-cli"
"""The client id that the official command line and SDKs log in with. It has no secret: the code is tied to a verifier instead."""

# The listener of a command on the person's own machine (RFC 8252, 7.3); any other place could be a thief's.
_LOOPBACK = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?(/[\w./-]*)?")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


class OAuthProblem(StrEnum):
    INVALID_REQUEST = "invalid_request"
    INVALID_CLIENT = "invalid_client"
    INVALID_GRANT = "invalid_grant"
    INVALID_SCOPE = "invalid_scope"
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"


class OAuthRefused(Exception):
    def __init__(self, problem: OAuthProblem, description: str) -> None:
        super().__init__(description)
        self.problem = problem
        self.description = description


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """What a command asks a person's browser for. ``challenge`` is the S256 hash of a verifier that only the command knows."""

    client_id: str
    redirect_uri: str
    scope: str
    state: str
    challenge: str

    def check(self) -> None:
        """
        :raises OAuthRefused: nobody is to be asked for a credential on behalf of this.
        """
        if self.client_id != PUBLIC_CLIENT:
            raise OAuthRefused(OAuthProblem.INVALID_CLIENT, f"The client must be {PUBLIC_CLIENT}.")
        if not _LOOPBACK.fullmatch(self.redirect_uri):
            raise OAuthRefused(
                OAuthProblem.INVALID_REQUEST, "The redirect URI must lead to the machine that the browser runs on."
            )
        if not _CHALLENGE.fullmatch(self.challenge):
            raise OAuthRefused(OAuthProblem.INVALID_REQUEST, "A code challenge of method S256 is required.")
        check_scope(self.scope, {ALL_APIS, OFFLINE})

    def answered_by(self, verifier: str) -> bool:
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
        return hmac.compare_digest(digest, self.challenge.encode())


def check_scope(scope: str, known: set[str]) -> None:
    """
    :raises OAuthRefused: something is asked for that this server cannot limit a token to.
    """
    unknown = [each for each in scope.split() if each not in known]
    if unknown:
        raise OAuthRefused(OAuthProblem.INVALID_SCOPE, f"Scope {unknown[0][:64]} is not available; ask for {ALL_APIS}.")
