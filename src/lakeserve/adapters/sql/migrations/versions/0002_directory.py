"""Users, service principals, groups and memberships; tokens name their owner instead of describing it.

The tokens table is made anew: until here it held the administrator's token only, which every start puts in again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("tokens")
    op.create_table(
        "tokens",
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("comment", sa.String, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("digest", name="pk_tokens"),
        sa.UniqueConstraint("id", name="uq_tokens_id"),
    )
    op.create_table("accounts", *_named("accounts"), sa.Column("kind", sa.String, nullable=False))
    op.create_table("account_groups", *_named("account_groups"))
    op.create_table(
        "group_members",
        sa.Column("group_id", sa.String, nullable=False),
        sa.Column("member_id", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("group_id", "member_id", name="pk_group_members"),
    )
    op.create_index("ix_group_members_member_id", "group_members", ["member_id"])


def _named(table: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("id", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("name_key", sa.String, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.UniqueConstraint("name_key", name=f"uq_{table}_name_key"),
    ]


def downgrade() -> None:
    op.drop_table("group_members")
    op.drop_table("account_groups")
    op.drop_table("accounts")
    op.drop_table("tokens")
    op.create_table(
        "tokens",
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("principal", sa.JSON, nullable=False),
        sa.Column("comment", sa.String, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("digest", name="pk_tokens"),
    )
