"""The supervisor's parts that need no process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeserve.domain.principal import token_digest
from lakeserve.settings import Settings
from lakeserve.supervisor import death, protocol
from lakeserve.supervisor.admin import with_admin
from lakeserve.supervisor.services import Service, service_environment, services
from lakeserve.supervisor.spawn import Program
from lakeserve.supervisor.table import Process, ProcessTable

messages = st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=20), max_size=3), max_size=6)


@given(messages, st.lists(st.integers(1, 40), max_size=20))
def test_lines_come_out_whole_however_they_are_cut(sent: list[dict[str, object]], cuts: list[int]) -> None:
    data = b"".join(protocol.encode(message) for message in sent)
    lines, got = protocol.Lines(), []
    for cut in cuts:
        got += lines.feed(data[:cut])
        data = data[cut:]
    assert got + lines.feed(data) == sent


@pytest.mark.parametrize("line", [b"nonsense\n", b"[]\n", b"1\n", b"null\n", b"\xff\n", b'{"a":1}\n[]\n'])
def test_lines_refuse_what_is_no_object(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the documented class; what it says is Python's
        protocol.Lines().feed(line)


def test_lines_are_bounded() -> None:
    lines = protocol.Lines()
    assert lines.feed(b" " * protocol.MAX_LINE) == []
    with pytest.raises(ValueError, match="too long"):
        lines.feed(b" ")


# The admin token


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv("LAKESERVE_ADMIN_TOKEN", raising=False)
    return Settings(data_dir=tmp_path, run_dir=tmp_path / "run")


def test_a_token_is_made_once_and_only_its_digest_is_kept(settings: Settings) -> None:
    with_digest, token = with_admin(settings)
    assert token is not None
    assert token.startswith("dapi")
    assert len(token) == 44
    assert with_digest.admin_digest == token_digest(token)
    kept = settings.data_dir / "admin-token.sha256"
    assert kept.read_text().strip() == token_digest(token)
    assert all(token not in path.read_text() for path in settings.data_dir.iterdir())
    again, shown = with_admin(settings)
    assert (again.admin_digest, shown) == (with_digest.admin_digest, None)


def test_a_chosen_token_is_neither_shown_nor_kept(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKESERVE_ADMIN_TOKEN", "dapi-chosen")
    with_digest, token = with_admin(settings)
    assert (with_digest.admin_digest, token) == (token_digest("dapi-chosen"), None)
    assert list(settings.data_dir.iterdir()) == []


# Services


def test_pauses_grow_with_short_lives_and_end_with_a_long_one() -> None:
    service = Service("s", Program(["x"], {}))
    pauses = []
    for _ in range(9):
        service.started()
        assert service.start_at is None
        pauses.append(service.ended())
        assert service.start_at == pytest.approx(time.monotonic() + pauses[-1], abs=0.5)
    for index, pause in enumerate(pauses):
        planned = min(0.1 * 2**index, 10.0)
        assert 0.8 * planned <= pause <= 1.2 * planned
    service.started()
    service.started_at -= 21
    assert service.ended() == 0.0
    service.started()
    assert service.ended() == pytest.approx(0.1, rel=0.21)


def test_the_tree_has_its_members_and_only_the_registry_gets_its_credentials(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hush")
    tree = replace(settings, gateways=2, registry="http://models.example")
    members = {service.name: service for service in services(tree, listening=98, life=99)}
    assert list(members) == ["gateway-0", "gateway-1", "controller", "registry"]
    holding = [name for name, member in members.items() if "hush" in json.dumps(dict(member.program.environment))]
    assert holding == ["registry"]
    assert {98, 99} == set(members["gateway-0"].program.inherit)
    assert {99} == set(members["controller"].program.inherit)
    assert all(
        member.program.log.startswith(str(settings.data_dir)) for member in members.values() if member.program.log
    )


def test_members_get_no_more_of_the_environment_than_was_passed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_SECRET", "hush")
    assert "hush" not in service_environment(settings, 5).values()


# Processes


def test_the_table_knows_when_there_is_work() -> None:
    table = ProcessTable()
    assert table.next_deadline() is None
    table.add(Process("a", "worker", 2**22 + 1))
    assert "a" in table
    assert len(table) == 1
    assert table.next_deadline() is None
    table.stop("a", 50.0)
    table.stop("unknown", 1.0)
    assert table.next_deadline() == pytest.approx(time.monotonic() + 50.0, abs=1.0)
    table.stop("a", 0.0)
    table.kill_overdue()
    deadline = table.next_deadline()
    assert deadline is not None
    assert deadline > time.monotonic(), "what does not end at once must not keep the loop spinning"


def test_leftovers_are_found_by_their_mark_alone() -> None:
    marked = subprocess.Popen(["sleep", "60"], env={"X_MARK": "one", "PATH": os.defpath})
    other = subprocess.Popen(["sleep", "60"], env={"X_MARK": "one more", "Y": "X_MARK=one", "PATH": os.defpath})
    try:
        assert set(death.leftovers("X_MARK", "one")) & {marked.pid, other.pid} == {marked.pid}
    finally:
        for process in (marked, other):
            process.kill()
            process.wait()


def test_this_process_is_no_leftover_of_its_own() -> None:
    program = "import os; from lakeserve.supervisor import death; print(list(death.leftovers('X_MARK', 'two')))"
    told = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "X_MARK": "two"}, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"


def test_children_are_listed() -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        assert child.pid in death.children()
    finally:
        child.kill()
        child.wait()
