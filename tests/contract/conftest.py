"""``stores``: an empty store of each kind in turn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.stores import KINDS, Stores


@pytest.fixture(params=sorted(KINDS))
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    async with KINDS[request.param](tmp_path) as opened:
        yield opened
