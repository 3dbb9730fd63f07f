"""Secrets at rest: what is sealed opens where it belongs and nowhere else, and the master key is made once."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeserve.adapters.encryption import master_key
from lakeserve.adapters.encryption.aes_gcm import AesGcmSealer
from lakeserve.adapters.encryption.master_key import MasterKeyUnusable
from lakeserve.domain.secrets import Secret
from lakeserve.ports.secrets import CannotOpen

KEY = bytes(range(32))
SEALER = AesGcmSealer(KEY, "secrets")
places = st.tuples(*[st.text("ab._-", min_size=1, max_size=4)] * 2).map("/".join)


@given(place=places, value=st.binary(max_size=300))
def test_what_is_sealed_opens_again(place: str, value: bytes) -> None:
    sealed = SEALER.seal(place, Secret(value))
    assert SEALER.is_own(sealed)
    assert AesGcmSealer(KEY, "secrets").open(place, sealed) == Secret(value)
    assert len(sealed) == len(value) + 29


@given(places=st.lists(places, min_size=2, max_size=2, unique=True))
def test_what_is_moved_to_another_row_does_not_open(places: list[str]) -> None:
    with pytest.raises(CannotOpen, match="another place"):
        SEALER.open(places[1], SEALER.seal(places[0], Secret(b"value")))


@given(data=st.data())
def test_what_is_changed_in_any_bit_or_cut_does_not_open(data: st.DataObject) -> None:
    sealed = SEALER.seal("a/b", Secret(b"value"))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    changed = bytearray(sealed)
    changed[bit // 8] ^= 1 << bit % 8
    for wrong in (bytes(changed), sealed[: bit // 8], sealed + b"\0"):
        with pytest.raises(CannotOpen):
            SEALER.open("a/b", wrong)


def test_the_same_value_never_looks_the_same() -> None:
    assert len({SEALER.seal("a/b", Secret(b"value")) for _ in range(200)}) == 200


def test_another_master_key_or_purpose_opens_nothing() -> None:
    sealed = SEALER.seal("a/b", Secret(b"value"))
    for other in (AesGcmSealer(bytes(32), "secrets"), AesGcmSealer(KEY, "cookies")):
        with pytest.raises(CannotOpen):
            other.open("a/b", sealed)
        # One of 256 other keys has the same id by chance; even then the tag refuses.
        with pytest.raises(CannotOpen):
            other.open("a/b", other.seal("x/y", Secret(b""))[:1] + sealed[1:])


def test_stored_secrets_of_this_version_open_for_ever() -> None:
    """Databases in the field hold these: a change that makes this test fail needs a migration."""
    stored = bytes.fromhex(STORED)
    assert SEALER.open("llm/openai", stored) == Secret(b"sk-stored")


STORED = "5245b06fc18cc59d86a296169198c32d9be753a9df94062b43f53a49d70c0bf265f600875547"


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    assert master_key.load(path) is None
    old = os.umask(0)
    try:
        made = master_key.create(path)
    finally:
        os.umask(old)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert master_key.load(path) == made
    assert len(made) == 32
    assert os.listdir(tmp_path) == ["master.key"]
    with pytest.raises(MasterKeyUnusable, match="File exists"):
        master_key.create(path)
    assert master_key.load(path) == made


def test_what_a_killed_start_left_behind_is_no_key_and_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    (tmp_path / "master.key.new").write_bytes(b"half a")
    assert master_key.load(path) is None
    made = master_key.create(path)
    assert master_key.load(path) == made
    assert os.listdir(tmp_path) == ["master.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "master.key"
    master_key.create(path)
    path.chmod(mode)
    with pytest.raises(MasterKeyUnusable, match="chmod 600"):
        master_key.load(path)


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"short", base64.b64encode(bytes(31)), base64.b64encode(bytes(33)), b"\xff" * 44, b"A" * 5000]
)
def test_what_is_no_key_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(text)
    path.chmod(0o600)
    with pytest.raises(MasterKeyUnusable, match="32 bytes in base64"):
        master_key.load(path)


def test_a_key_of_the_operators_own(tmp_path: Path) -> None:
    path = tmp_path / "own"
    path.write_bytes(b"  " + base64.b64encode(KEY) + b"\r\n")
    path.chmod(0o400)
    assert master_key.load(path) == KEY


def test_a_folder_in_the_place_of_the_key_is_said(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyUnusable, match="Is a directory"):
        master_key.load(tmp_path)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyUnusable, match="No such file"):
        master_key.create(tmp_path / "none" / "master.key")
