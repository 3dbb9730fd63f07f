"""The tables. What is looked up, ordered by or guarded is a column; the rest of an endpoint is one JSON document.

This is what the newest code expects. A change here needs a migration beside it: tests/migration holds the two equal.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Integer, LargeBinary, MetaData, String, Table

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
    Column("id", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    # Not a foreign key: a credential whose owner is gone is good for nothing, and removed when somebody looks.
    Column("owner", String, nullable=False),
    Column("comment", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    # The name without regard to case, which the database would fold for ASCII only.
    Column("name_key", String, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("document", JSON, nullable=False),
    Column("kind", String, nullable=False),
)

account_groups = Table(
    "account_groups",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("name_key", String, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("document", JSON, nullable=False),
)

group_members = Table(
    "group_members",
    metadata,
    Column("group_id", String, primary_key=True),
    # An account or another group, so it cannot be a foreign key.
    Column("member_id", String, primary_key=True, index=True),
)

secret_scopes = Table(
    "secret_scopes",
    metadata,
    # The name in lower case: names that differ only in case are the same.
    Column("fold", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("document", JSON, nullable=False),
)

secrets = Table(
    "secrets",
    metadata,
    Column("scope_fold", String, primary_key=True),
    Column("key_fold", String, primary_key=True),
    Column("key", String, nullable=False),
    # Encrypted and bound to scope and key: nothing here can be read, or moved to another row.
    Column("sealed", LargeBinary, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)
