"""Secrets with the key that opens them: made at the first start, and from then on a condition of starting."""

from __future__ import annotations

from lakeserve.adapters.encryption import master_key
from lakeserve.adapters.encryption.aes_gcm import AesGcmSealer
from lakeserve.adapters.encryption.master_key import MasterKeyUnusable
from lakeserve.adapters.sql.database import Database
from lakeserve.adapters.sql.secrets import SqlSecretStore
from lakeserve.control.credentials import Credentials
from lakeserve.control.secrets import Secrets
from lakeserve.ports.clock import Clock
from lakeserve.settings import Settings

_PURPOSE = "secrets"
"""The label of the key: another would open nothing that is stored."""


async def open_secrets(settings: Settings, database: Database, credentials: Credentials, clock: Clock) -> Secrets:
    """
    :raises MasterKeyUnusable: what is stored was sealed with another key, or the key's file is not usable.
    """
    store = SqlSecretStore(database)
    path, stored = settings.master_key, await store.any_secret()
    key = master_key.load(path)
    if key is None:
        if stored is not None:
            raise MasterKeyUnusable(
                f"The master key {path} is not there. Without the key that sealed them, stored secrets cannot be read: put it back."
            )
        if settings.master_key_file:
            raise MasterKeyUnusable(f"The master key {path} is not there.")
        key = master_key.create(path)
    sealer = AesGcmSealer(key, _PURPOSE)
    if stored is not None and not sealer.is_own(stored.sealed):
        raise MasterKeyUnusable(f"The master key {path} is not the one that sealed the stored secrets.")
    return Secrets(store, sealer, credentials, clock)
