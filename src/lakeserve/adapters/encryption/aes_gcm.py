"""AES-256-GCM with a key for one purpose, derived from the master key.

    sealed = key id (1 byte) + nonce (12 random bytes) + ciphertext + tag (16 bytes)

The place and the key id are authenticated with the value, so one that was moved to another row, cut short or changed in any bit
does not open. HKDF with a label for each purpose keeps keys apart: what is learnt of one says nothing about another. With random
nonces one key is good for some four thousand million values.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lakeserve.domain.secrets import Secret
from lakeserve.ports.secrets import CannotOpen

_NONCE_BYTES = 12
_HEAD_BYTES = 1 + _NONCE_BYTES


class AesGcmSealer:
    """A :class:`~lakeserve.ports.secrets.Sealer`. ``purpose`` is the label of its key."""

    def __init__(self, master_key: bytes, purpose: str) -> None:
        self._cipher = AESGCM(_derived(master_key, f"lakeserve/{purpose}/1", 32))
        self._key_id = _derived(master_key, f"lakeserve/{purpose}/1/id", 1)

    def seal(self, place: str, value: Secret) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return self._key_id + nonce + self._cipher.encrypt(nonce, value.reveal(), self._bound(place))

    def open(self, place: str, sealed: bytes) -> Secret:
        if not self.is_own(sealed):
            raise CannotOpen("It was encrypted with another master key.")
        nonce, ciphertext = sealed[1:_HEAD_BYTES], sealed[_HEAD_BYTES:]
        try:
            return Secret(self._cipher.decrypt(nonce, ciphertext, self._bound(place)))
        except (InvalidTag, ValueError):
            raise CannotOpen("It was changed, or encrypted for another place.") from None

    def is_own(self, sealed: bytes) -> bool:
        return sealed[:1] == self._key_id

    def _bound(self, place: str) -> bytes:
        return self._key_id + place.encode()


def _derived(master_key: bytes, label: str, length: int) -> bytes:
    return HKDF(SHA256(), length, salt=None, info=label.encode()).derive(master_key)
