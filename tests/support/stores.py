"""The kinds of store that the contract tests run on. A new database is one more entry in ``KINDS``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from lakeserve.adapters.memory.secrets import MemorySecretStore
from lakeserve.adapters.memory.store import MemoryDirectoryStore, MemoryEndpointStore, MemoryTokenStore
from lakeserve.adapters.sql.database import Database, sqlite_url
from lakeserve.adapters.sql.directory import SqlDirectoryStore
from lakeserve.adapters.sql.secrets import SqlSecretStore
from lakeserve.adapters.sql.store import SqlEndpointStore, SqlTokenStore
from lakeserve.ports.secrets import SecretStore
from lakeserve.ports.store import DirectoryStore, EndpointStore, TokenStore


@dataclass(frozen=True)
class Stores:
    endpoints: EndpointStore
    tokens: TokenStore
    directory: DirectoryStore
    secrets: SecretStore


@asynccontextmanager
async def _memory(_folder: Path) -> AsyncIterator[Stores]:
    yield Stores(MemoryEndpointStore(), MemoryTokenStore(), MemoryDirectoryStore(), MemorySecretStore())


@asynccontextmanager
async def _sqlite(folder: Path) -> AsyncIterator[Stores]:
    database = await Database.open(database_url(folder))
    try:
        yield Stores(
            SqlEndpointStore(database), SqlTokenStore(database), SqlDirectoryStore(database), SqlSecretStore(database)
        )
    finally:
        await database.close()


KINDS: dict[str, Callable[[Path], AbstractAsyncContextManager[Stores]]] = {"memory": _memory, "sqlite": _sqlite}


def database_url(folder: Path) -> str:
    return sqlite_url(folder / "lakeserve.db")
