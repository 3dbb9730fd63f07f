"""Which names are allowed, and the name that a served entity gets when its owner gives none.

Names of endpoints and served entities travel in URL paths, HTTP headers and file names, so their alphabets are small
and their lengths bounded. Each check either returns or raises :class:`InvalidParameterValue` with a sentence that says
what would be accepted.
"""

from __future__ import annotations

import re

from lakeserve.domain.errors import InvalidParameterValue

RESERVED_PREFIX = "databricks-"
MAX_SERVED_ENTITY_NAME = 255
MAX_MODEL_NAME = 255

_ENDPOINT = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?")
_SERVED_ENTITY = re.compile(r"[a-zA-Z0-9_-]+")
_NOT_IN_SERVED_ENTITY = re.compile(r"[^a-zA-Z0-9_-]")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VERSION = re.compile(r"[1-9][0-9]*|@[A-Za-z0-9_.-]+")
# "/" and ":" would change the meaning of a models:/name/version address; control characters have no place in a name.
_NOT_IN_MODEL = re.compile(r"[/:\x00-\x1f\x7f]")


def check_endpoint_name(name: str) -> None:
    """:raises InvalidParameterValue: a name of the wrong shape, or one that is kept for built-in endpoints."""
    if not _ENDPOINT.fullmatch(name):
        raise InvalidParameterValue(
            "Endpoint name must be maximum 63 characters, "
            "and alphanumeric with hyphens and underscores allowed in between."
        )
    if name.lower().startswith(RESERVED_PREFIX):
        raise InvalidParameterValue(
            f"Endpoint names that start with '{RESERVED_PREFIX}' are reserved for built-in endpoints; "
            "choose another name."
        )


def check_served_entity_name(name: str) -> None:
    """:raises InvalidParameterValue: empty, too long, or outside the alphabet."""
    if not _SERVED_ENTITY.fullmatch(name) or len(name) > MAX_SERVED_ENTITY_NAME:
        raise InvalidParameterValue(
            f"Served entity name '{_shown(name)}' must have 1 to {MAX_SERVED_ENTITY_NAME} characters, "
            "and only letters, digits, hyphens and underscores."
        )


def default_served_entity_name(entity_name: str, resolved_version: str) -> str:
    """The last segment of the model's name and the version number: ``main.risk.fraud`` 3 is ``fraud-3``.

    Registries allow characters in model names that served entities cannot have; those become hyphens.
    """
    segment = entity_name.rsplit(".", 1)[-1] or entity_name
    ending = f"-{resolved_version}"
    return _NOT_IN_SERVED_ENTITY.sub("-", segment)[: MAX_SERVED_ENTITY_NAME - len(ending)] + ending


def check_model_name(name: str) -> None:
    """:raises InvalidParameterValue: a text that no registry could hold as a model's name."""
    if not name or len(name) > MAX_MODEL_NAME or _NOT_IN_MODEL.search(name):
        raise InvalidParameterValue(
            f"entity_name '{_shown(name)}' is not the name of a registered model: "
            f"it must have 1 to {MAX_MODEL_NAME} characters, without '/' and ':'."
        )


def check_model_version(version: str) -> None:
    """:raises InvalidParameterValue: neither a version number nor an alias."""
    if not _VERSION.fullmatch(version):
        raise InvalidParameterValue(
            f"entity_version '{_shown(version)}' must be a version number such as 3, or an alias such as @champion."
        )


def check_variable_name(name: str) -> None:
    """:raises InvalidParameterValue: a name that a POSIX environment cannot hold safely."""
    if not _VARIABLE.fullmatch(name):
        raise InvalidParameterValue(
            f"Environment variable name '{_shown(name)}' must consist of letters, digits and underscores, "
            "and not start with a digit."
        )


def _shown(text: str) -> str:
    """A client's text in an error message, short enough for a log line."""
    return text if len(text) <= 80 else f"{text[:77]}..."
