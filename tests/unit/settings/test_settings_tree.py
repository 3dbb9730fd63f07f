"""Where each setting comes from, what is refused, and what travels to the children."""

from __future__ import annotations

import json
import os
from dataclasses import fields, replace
from pathlib import Path

import pytest

from lakeserve import settings as settings_module
from lakeserve.settings import MAX_SOCKET_PATH, Limits, Settings, from_environment, from_json


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine's own environment, and a data directory to fall back to."""
    for name in list(os.environ):
        if name.startswith(("LAKESERVE_", "XDG_", "MLFLOW_", "AWS_", "DATABRICKS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


FLAGS = [
    ("host", "LAKESERVE_HOST", "0.0.0.0", "::1", "127.0.0.1"),
    ("port", "LAKESERVE_PORT", 9_000, 9_001, 8080),
    ("gateways", "LAKESERVE_GATEWAYS", 2, 3, 1),
    ("registry", "LAKESERVE_REGISTRY", "http://a.example", "http://b.example", None),
]


@pytest.mark.parametrize(("name", "variable", "flag", "set_", "default"), FLAGS)
def test_a_flag_wins_over_its_variable_and_that_over_the_default(
    monkeypatch: pytest.MonkeyPatch, name: str, variable: str, flag: object, set_: object, default: object
) -> None:
    assert getattr(from_environment(), name) == default
    monkeypatch.setenv(variable, str(set_))
    assert getattr(from_environment(), name) == set_
    assert getattr(from_environment(**{name: None}), name) == set_
    assert getattr(from_environment(**{name: flag}), name) == flag


def test_port_zero_is_a_choice() -> None:
    assert from_environment(port=0).port == 0


def test_the_data_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert from_environment().data_dir == tmp_path / ".local/share/lakeserve"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "x"))
    assert from_environment().data_dir == tmp_path / "x/lakeserve"
    monkeypatch.setenv("LAKESERVE_DATA_DIR", "~/y")
    assert from_environment().data_dir == tmp_path / "y"
    monkeypatch.chdir(tmp_path)
    assert from_environment(data_dir=Path("z")).data_dir == tmp_path / "z"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("LAKESERVE_PORT", "http"),
        ("LAKESERVE_PORT", "-1"),
        ("LAKESERVE_PORT", "8080.0"),
        ("LAKESERVE_PORT", "65536"),
        ("LAKESERVE_PORT", "٨٠"),
        ("LAKESERVE_PORT", ""),
        ("LAKESERVE_GATEWAYS", "0"),
        ("LAKESERVE_GATEWAYS", "many"),
        ("LAKESERVE_ENV_MANAGER", "conda"),
        ("LAKESERVE_WORKER_START", "spawn"),
        ("LAKESERVE_WORKSPACE_ID", "mine"),
        ("LAKESERVE_LIMIT_QUEUE_S", "long"),
        ("LAKESERVE_LIMIT_QUEUE_S", "0"),
        ("LAKESERVE_LIMIT_QUEUE_S", "-1"),
        ("LAKESERVE_LIMIT_QUEUE_S", "nan"),
        ("LAKESERVE_LIMIT_QUEUE_S", "inf"),
        ("LAKESERVE_LIMIT_REQUEST_BYTES", "1.5"),
        ("LAKESERVE_LIMIT_REQUEST_BYTES", "16M"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ValueError, match=variable):
        from_environment()


@pytest.mark.parametrize("token", ["with space", "tab\t", "ümlaut", "line\nbreak", "null\x7f"])
def test_a_token_that_no_client_could_send_is_refused_without_repeating_it(
    monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("LAKESERVE_ADMIN_TOKEN", token)
    with pytest.raises(ValueError, match="LAKESERVE_ADMIN_TOKEN") as refused:
        from_environment()
    assert token not in str(refused.value)


def test_every_limit_has_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in fields(Limits):
        monkeypatch.setenv(f"LAKESERVE_LIMIT_{field.name.upper()}", "7")
    limits = from_environment().limits
    for field in fields(Limits):
        value = getattr(limits, field.name)
        assert value == 7
        assert type(value) is type(getattr(Limits(), field.name)), field.name


# Sockets


def test_sockets_lie_beside_the_data_where_their_paths_fit(tmp_path: Path) -> None:
    short = from_environment(data_dir="/tmp/ls")
    assert short.run_dir == Path("/tmp/ls/run").resolve()
    long = from_environment(data_dir=tmp_path / ("d" * 100))
    other = from_environment(data_dir=tmp_path / ("e" * 100))
    assert long.run_dir.parent.name == f"lakeserve-{os.getuid()}"
    assert long.run_dir != other.run_dir
    for chosen in (short, long, other):
        assert len(os.fsencode(chosen.socket("w-0123456789abcdef"))) <= MAX_SOCKET_PATH


@pytest.mark.parametrize("length", range(60, 100))
def test_whatever_the_length_a_socket_path_fits(length: int) -> None:
    chosen = from_environment(data_dir="/tmp/" + "ü" * ((length - 5) // 2) + "x" * ((length - 5) % 2))
    for name in ("supervisor", "registry", "w-0123456789ab", "z-0123456789ab"):
        assert len(os.fsencode(chosen.socket(name))) <= MAX_SOCKET_PATH


# The registry


@pytest.mark.parametrize(
    ("uri", "kept"),
    [
        ("http://models.example:5000", "http://models.example:5000"),
        ("https://models.example/path", "https://models.example/path"),
        ("sqlite:////abs/mlflow.db", "sqlite:////abs/mlflow.db"),
        ("sqlite:///mlflow.db", "sqlite:///{cwd}/mlflow.db"),
        ("mlruns", "{cwd}/mlruns"),
        ("./a/../mlruns", "{cwd}/mlruns"),
        ("/abs/mlruns", "/abs/mlruns"),
        ("file:///abs/mlruns", "file:///abs/mlruns"),
        ("postgresql://ada@db.example/mlflow", "postgresql://ada@db.example/mlflow"),
        ("", None),
    ],
)
def test_the_registry_is_named_so_that_every_process_finds_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uri: str, kept: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    assert from_environment(registry=uri).registry == (kept and kept.format(cwd=tmp_path))


@pytest.mark.parametrize(
    "uri", ["http://ada:hush@models.example", "postgresql://ada:hush@db.example/mlflow", "https://:hush@models.example"]
)
def test_a_password_in_the_registrys_address_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(ValueError, match="must not hold a password") as refused:
        from_environment(registry=uri)
    assert "hush" not in str(refused.value)


def test_credentials_are_for_the_registrys_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hush")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    assert settings_module.registry_credentials().keys() >= {"MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY"}
    assert "hush" not in from_environment().to_json()


# To the children


def test_goes_through_json(tmp_path: Path) -> None:
    tree = replace(
        from_environment(data_dir=tmp_path, registry="http://r.example", gateways=3),
        limits=Limits(queue_s=1.5, request_bytes=7),
        admin_digest="d" * 64,
    )
    assert from_json(tree.to_json()) == tree


def test_holds_nothing_of_the_shell_but_what_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "LAKESERVE_ADMIN_TOKEN": "dapi-hush-1",
        "DATABRICKS_TOKEN": "hush-2",
        "OPENAI_API_KEY": "hush-3",
        "PYTHONPATH": "/hush-4",
        "PYTHONSTARTUP": "/hush-5",
        "LD_PRELOAD": "/hush-6",
    }
    passed = {"HTTPS_PROXY": "http://proxy", "UV_INDEX_URL": "http://index", "SSL_CERT_FILE": "/ca", "LC_ALL": "C"}
    for name, value in {**secrets, **passed}.items():
        monkeypatch.setenv(name, value)
    text = from_environment().to_json()
    assert "hush" not in text
    environment = json.loads(text)["environment"]
    assert environment.items() >= passed.items()
    assert "PATH" in environment


def test_the_life_pipe_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert settings_module.life_fd() is None
    monkeypatch.setenv(settings_module.LIFE_FD, "7")
    assert settings_module.life_fd() == 7
    tree = Settings(data_dir=tmp_path, run_dir=tmp_path)
    monkeypatch.setenv(settings_module.VARIABLE, tree.to_json())
    assert settings_module.from_parent() == tree


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("::", "http://[::1]:1"),
        ("::1", "http://[::1]:1"),
    ],
)
def test_the_url_can_be_opened_on_this_machine(tmp_path: Path, host: str, url: str) -> None:
    assert Settings(data_dir=tmp_path, run_dir=tmp_path, host=host, port=1).url == url
