"""The tables. What is looked up, ordered by or guarded is a column; the rest of an endpoint is one JSON document.

This is what the newest code expects. A change here needs a migration beside it: tests/migration holds the two equal.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Integer, MetaData, String, Table

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

endpoints = Table(
    "endpoints",
    metadata,
    Column("id", String, primary_key=True),
    # Only live endpoints have a row, so a deleted one's name is free.
    Column("name", String, nullable=False, unique=True),
    Column("creator", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("update_state", String, nullable=False),
    Column("document", JSON, nullable=False),
)

access_lists = Table(
    "access_lists",
    metadata,
    # Not a foreign key: an access list outlives its endpoint.
    Column("endpoint_id", String, primary_key=True),
    Column("document", JSON, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("digest", String, primary_key=True),
    Column("principal", JSON, nullable=False),
    Column("comment", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
)
