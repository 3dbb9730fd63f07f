"""``lakeserve up`` as an operator meets it: what it prints, how it refuses to start, how it ends."""

from __future__ import annotations

import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from support.server import STOP_S, TOKEN, Server, poll
from support.serving import Factory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds the tree's processes in /proc")


@pytest.fixture
def bare(new_server: Factory) -> Server:
    """A server that is not started, without models."""
    return new_server(models=False)


def check_refusal(server: Server, *words: str) -> None:
    server.launch()
    assert server.process is not None
    assert server.process.wait(20) == 1
    line, *rest = server.said.splitlines()
    assert line.startswith("Error: ")
    assert not rest
    assert not [word for word in words if word not in line], line
    assert TOKEN not in line


def test_says_where_it_listens_how_to_authenticate_and_where_state_lies(bare: Server) -> None:
    bare.start()
    said = bare.said
    assert re.search(r"lakeserve is listening on http://127\.0\.0\.1:\d+\n", said)
    assert str(bare.data_dir) in said
    assert f"export DATABRICKS_HOST={bare.url} DATABRICKS_TOKEN=" in said
    assert f"export MLFLOW_TRACKING_URI={bare.url} MLFLOW_TRACKING_TOKEN=" in said
    assert "LAKESERVE_ADMIN_TOKEN" in said
    assert TOKEN not in said
    assert bare.ask("GET", "/api/2.0/preview/scim/v2/Me").status == 200
    bare.stop()


def test_a_made_token_is_shown_once_and_stays_good(new_server: Factory) -> None:
    first = new_server(models=False, token=None).start()
    (token,) = set(re.findall(r"\bdapi[0-9a-f]{40}\b", first.said))
    assert first.ask("GET", "/api/2.0/serving-endpoints", token=token).status == 200
    first.stop()
    assert not [path for path in first.data_dir.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]
    again = new_server(data_dir=first.data_dir, token=None).start()
    assert "dapi" not in again.said
    assert again.ask("GET", "/api/2.0/serving-endpoints", token=token).status == 200
    again.stop()


def test_a_chosen_token_replaces_the_one_before(new_server: Factory) -> None:
    first = new_server(models=False, token=TOKEN).start()
    first.stop()
    again = new_server(data_dir=first.data_dir, token="dapi-another").start()
    assert again.ask("GET", "/api/2.0/serving-endpoints").status == 200
    assert again.ask("GET", "/api/2.0/serving-endpoints", token=TOKEN).error == (401, "UNAUTHENTICATED")
    again.stop()


def test_a_second_server_on_the_same_data_is_refused(bare: Server, new_server: Factory) -> None:
    bare.start()
    second = new_server(data_dir=bare.data_dir)
    second.output = bare.data_dir.with_name("second.out")
    check_refusal(second, "another lakeserve", str(bare.data_dir))
    assert bare.ask("GET", "/api/2.0/serving-endpoints").status == 200


def test_a_port_in_use_is_refused(new_server: Factory) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        check_refusal(new_server(models=False, port=port), f"127.0.0.1:{port}", "in use")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LAKESERVE_PORT", "eighty"),
        ("LAKESERVE_PORT", "65536"),
        ("LAKESERVE_GATEWAYS", "0"),
        ("LAKESERVE_WORKSPACE_ID", "mine"),
        ("LAKESERVE_ENV_MANAGER", "conda"),
        ("LAKESERVE_WORKER_START", "spawn"),
        ("LAKESERVE_LIMIT_EXECUTION_S", "soon"),
        ("LAKESERVE_LIMIT_REQUEST_BYTES", "-1"),
        ("LAKESERVE_LIMIT_QUEUE_PER_UNIT", "0"),
        ("LAKESERVE_LIMIT_QUEUE_S", "nan"),
        ("LAKESERVE_REGISTRY", "http://user:secret@registry.example"),
        ("LAKESERVE_ADMIN_TOKEN", "two words"),
    ],
)
def test_a_bad_variable_is_refused(new_server: Factory, variable: str, value: str) -> None:
    words = ["registry"] if variable == "LAKESERVE_REGISTRY" else [variable]
    server = new_server(models=False, port=None if variable == "LAKESERVE_PORT" else 0, token=None, **{variable: value})
    check_refusal(server, *words)
    assert "secret" not in server.said


def test_a_data_directory_that_cannot_be_made_is_refused(new_server: Factory, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    server = new_server(data_dir=tmp_path / "file" / "d")
    server.output = tmp_path / "out"
    server.cwd = tmp_path
    check_refusal(server, "data directory", str(tmp_path / "file" / "d"))


def test_the_first_answer_comes_soon(bare: Server, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    bare.launch()
    bare.url = poll(bare.printed_url, bare.told)
    printed = time.monotonic() - began
    assert bare.ask("GET", "/health", token=None).json == {"status": "ok"}
    health = time.monotonic() - began
    bare.wait_ready()
    ready = time.monotonic() - began
    bare.wait_ready(registry=True)
    registry = time.monotonic() - began
    bare.stop()
    with capsys.disabled():
        print(
            f" [printed {printed:.2f} s, /health {health:.2f} s, /ready {ready:.2f} s, registry {registry:.2f} s]",
            end="",
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_it_while_it_still_starts(bare: Server, number: signal.Signals) -> None:
    bare.launch()
    poll(bare.printed_url, bare.told)
    assert bare.stop(number) < STOP_S


def test_bytecode_is_wanted_whatever_the_shell_says(new_server: Factory) -> None:
    server = new_server(models=False, PYTHONDONTWRITEBYTECODE="1").start()
    for pid in server.pids():
        assert b"PYTHONDONTWRITEBYTECODE" not in Path(f"/proc/{pid}/environ").read_bytes()
    server.stop()


def test_a_long_path_of_the_data_directory_is_no_hindrance(new_server: Factory, tmp_path: Path) -> None:
    """Unix sockets have short paths; where they do not fit beside the data, they lie elsewhere."""
    data_dir = tmp_path / ("long-" * 20)
    server = new_server(data_dir=data_dir).start()
    assert server.ask("GET", "/api/2.0/serving-endpoints").json == {"endpoints": []}
    server.stop()
