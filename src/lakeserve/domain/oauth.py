"""Refusals of the token endpoint. They have names and a shape of their own, which OAuth clients know (RFC 6749, 5.2)."""

from __future__ import annotations

from enum import StrEnum


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
