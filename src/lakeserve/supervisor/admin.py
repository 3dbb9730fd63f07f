"""The first credential: chosen by the operator, or generated at the first start and shown that once.

Only its digest is kept, in a file that is readable by the owner alone; the controller gets the digest and never the token.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import replace
from pathlib import Path

from lakeserve import settings as settings_module
from lakeserve.settings import Settings

_PREFIX = "dapi"
"""The prefix of Databricks' personal tokens, which leak scanners and clients' own redaction know."""


def with_admin(settings: Settings) -> tuple[Settings, str | None]:
    """The settings with the admin token's digest, and the token itself if it was made just now and must be shown."""
    chosen = settings_module.admin_token()
    if chosen is not None:
        return replace(settings, admin_digest=_digest(chosen)), None
    kept = settings.data_dir / "admin-token.sha256"
    if kept.exists():
        return replace(settings, admin_digest=kept.read_text().strip()), None
    token = _PREFIX + secrets.token_hex(20)
    _write(kept, _digest(token))
    return replace(settings, admin_digest=_digest(token)), token


def _digest(token: str) -> str:
    # Must agree with domain.principal.token_digest; a test holds the two together. The supervisor imports no domain.
    return hashlib.sha256(token.encode()).hexdigest()


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    with temporary.open("w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
