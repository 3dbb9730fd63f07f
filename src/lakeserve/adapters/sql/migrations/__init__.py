"""Bringing the schema of a database up to date.

Each file in versions/ is one step. All missing steps run in one transaction, so a process that is killed in between has
changed nothing and the next start begins anew. Alembic is slow to import and nearly never needed, so whether there is
something to do is found out without it.

To change the schema: change ``schema.py``, add ``versions/NNNN_what.py`` after the newest one, and set ``HEAD`` to it.
Old code must be able to run on the new schema: add in one release, remove in a later one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from lakeserve.ports.store import StoreTrouble, StoreUnavailable

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0003"
VERSION_TABLE = "alembic_version"


def stored_revision(connection: Connection) -> str | None:
    """The newest migration that the database has seen; None when it is empty."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    return revision


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run what is missing, inside the transaction of ``connection``.

    :raises StoreUnavailable: the database has seen a migration that this version of lakeserve does not know.
    """
    from alembic import command  # noqa: PLC0415  half a second, for a schema that is nearly always up to date
    from alembic.util import CommandError  # noqa: PLC0415  as above

    try:
        command.upgrade(config(connection), revision)
    except CommandError as error:
        detail = f"The database was written by another version of lakeserve: {error}"
        raise StoreUnavailable(StoreTrouble.SCHEMA, detail) from error


def config(connection: Connection) -> Config:
    """Alembic's configuration for our scripts, working on the given connection."""
    from alembic.config import Config  # noqa: PLC0415  as in upgrade

    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    made.attributes["connection"] = connection
    return made
