"""Names of artifacts there and back, and signed URLs, without a server."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeserve.adapters.mlflow.answers import Refused
from lakeserve.adapters.mlflow.databricks.artifact_uris import to_databricks, to_plain, translated
from lakeserve.adapters.mlflow.databricks.places import checked
from lakeserve.adapters.mlflow.databricks.signed_urls import MAX_LIFE_S, Expired, Grant, Signer, expiry

RUN = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("plain", "databricks"),
    [
        ("mlflow-artifacts:/7", "dbfs:/databricks/mlflow-tracking/7"),
        (f"mlflow-artifacts:/7/{RUN}/artifacts", f"dbfs:/databricks/mlflow-tracking/7/{RUN}/artifacts"),
        (f"mlflow-artifacts:/7/{RUN}/artifacts/a/b", f"dbfs:/databricks/mlflow-tracking/7/{RUN}/artifacts/a/b"),
        (
            "mlflow-artifacts:/7/models/m-1f/artifacts",
            "dbfs:/databricks/mlflow-tracking/7/logged_models/m-1f/artifacts",
        ),
    ],
)
def test_an_artifact_has_two_names(plain: str, databricks: str) -> None:
    assert to_databricks(plain) == databricks
    assert to_plain(databricks) == plain


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/7",
        "models:/m-1f",
        "mlflow-artifacts:/7/traces/tr-1/artifacts",
        "mlflow-artifacts:/x",
        "",
        "dbfs:/x",
    ],
)
def test_other_names_stay(uri: str) -> None:
    assert to_databricks(uri) == uri
    assert to_plain(uri) == uri


def test_only_uris_are_renamed_in_an_answer() -> None:
    uri = "mlflow-artifacts:/7"
    answer = {"experiments": [{"artifact_location": uri, "name": uri}], "artifact_uri": uri, "n": [1.5, None, uri]}
    renamed = "dbfs:/databricks/mlflow-tracking/7"
    assert json.loads(translated(json.dumps(answer).encode())) == {
        "experiments": [{"artifact_location": renamed, "name": uri}],
        "artifact_uri": renamed,
        "n": [1.5, None, uri],
    }
    assert translated(b"no json: mlflow-artifacts:") == b"no json: mlflow-artifacts:"
    assert translated(b'{"untouched" :  1}') == b'{"untouched" :  1}'


paths = st.text(st.characters(codec="utf-8"), max_size=60)


@given(st.sampled_from(["get", "put", "part", "abort"]), paths, st.integers(1, 10_000), st.integers(0, 10_000))
def test_a_signed_grant_comes_back_until_its_time(action: str, path: str, life: int, part: int) -> None:
    signer = Signer(b"k" * 32)
    grant = Grant(action, path, 1_000 + life, "session", part)
    token = signer.token(grant)
    assert signer.grant(token, 1_000 + life - 1) == grant
    with pytest.raises(Expired):
        signer.grant(token, 1_000 + life)


@given(st.data())
def test_a_changed_token_is_none(data: st.DataObject) -> None:
    signer = Signer(b"k" * 32)
    token = signer.token(Grant("get", "/Volumes/a/b/c/d", 2_000))
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="utf-8", exclude_characters=token[at]))
    changed = token[:at] + other + token[at + 1 :]
    # The last letter of base64 has bits that mean nothing; anything else is refused.
    with contextlib.suppress(Refused):
        assert signer.grant(changed, 1_000) == signer.grant(token, 1_000)


def test_the_key_is_made_once_and_is_ours_alone(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "key"
    token = Signer.kept_in(file).token(Grant("get", "/x", 2_000))
    assert Signer.kept_in(file).grant(token, 1_000).path == "/x"
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_bytes(b"cut short")
    with pytest.raises(Refused):
        Signer.kept_in(file).grant(token, 1_000)


def test_no_url_lives_longer_than_an_hour() -> None:
    assert expiry(None, 1_000.5) < 1_000 + MAX_LIFE_S
    assert expiry("2999-01-01T00:00:00Z", 1_000) == 1_000 + MAX_LIFE_S
    assert expiry("1970-01-01T00:20:00Z", 1_000) == 1_200
    assert expiry("1970-01-01T00:20:00", 1_000) == 1_200
    for asked in ("soon", "1970-01-01T00:16:40Z", 12):
        with pytest.raises(Refused):
            expiry(asked, 1_000)


@given(paths)
def test_a_checked_path_has_no_parts_that_climb(path: str) -> None:
    try:
        parts = checked(path).split("/")
    except Refused:
        return
    assert parts[0] == ""
    assert not {"", ".", ".."} & set(parts[1:])
