"""The pure parts of environments: their keys, what uv is run with, what its errors mean, and sharing one build."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lakeserve.adapters.local.file_lock import file_lock
from lakeserve.adapters.local.interpreters import find_interpreter, pyenv_interpreters
from lakeserve.adapters.local.requirements import environment_key, minor_of
from lakeserve.adapters.local.shared_build import SharedBuild
from lakeserve.adapters.local.uv_tool import MAX_REASON, reason, redact, uv_environment


@pytest.mark.parametrize(
    ("version", "minor"),
    [("3.11.7", "3.11"), ("3.9", "3.9"), ("3.13.0rc1", "3.13"), ("3", None), ("", None), (None, None), ("pypy", None)],
)
def test_minor_of(version: str | None, minor: str | None) -> None:
    assert minor_of(version) == minor


def key_of(folder: Path, text: str, minor: str = "3.11", environ: dict[str, str] | None = None) -> str:
    (folder / "requirements.txt").write_text(text)
    return environment_key(folder / "requirements.txt", minor, environ or {})


def test_key_ignores_what_changes_nothing(tmp_path: Path) -> None:
    first = key_of(tmp_path, "six==1.16.0\nidna==3.7\n")
    assert first == key_of(tmp_path, "# a comment\n\nidna==3.7   # why\nsix==1.16.0\r\n")
    assert first == key_of(tmp_path, "idna==3.7\nsix==1.16.0", environ={"UV_CACHE_DIR": "/x", "PATH": "/bin"})


def test_key_follows_what_would_be_installed(tmp_path: Path) -> None:
    first = key_of(tmp_path, "six==1.16.0\n")
    assert first != key_of(tmp_path, "six==1.17.0\n")
    assert first != key_of(tmp_path, "six==1.16.0\n", minor="3.12")
    assert first != key_of(tmp_path, "six==1.16.0\n", environ={"UV_DEFAULT_INDEX": "https://a/simple"})


def test_key_ignores_rotating_credentials(tmp_path: Path) -> None:
    keys = {
        key_of(tmp_path, "six\n", environ={"UV_DEFAULT_INDEX": f"https://user:{word}@a/simple"}) for word in ("x", "y")
    }
    assert len(keys) == 1


@pytest.mark.parametrize("name", ["constraints.txt", "uv.lock", "pyproject.toml"])
def test_key_follows_files_beside(tmp_path: Path, name: str) -> None:
    before = key_of(tmp_path, "six\n")
    (tmp_path / name).write_text("a")
    with_file = key_of(tmp_path, "six\n")
    (tmp_path / name).write_text("b")
    assert len({before, with_file, key_of(tmp_path, "six\n")}) == 3


@pytest.mark.parametrize(
    "line", ["-r more.in", "-rmore.in", "--requirement=more.in", "-c more.in", "./more.in", "x @ file:more.in/"]
)
def test_key_follows_what_a_line_refers_to(tmp_path: Path, line: str) -> None:
    missing = key_of(tmp_path, line)
    (tmp_path / "more.in").write_text("six==1.16.0")
    first = key_of(tmp_path, line)
    (tmp_path / "more.in").write_text("six==1.17.0")
    assert len({missing, first, key_of(tmp_path, line)}) == 3


def test_key_follows_a_local_package(tmp_path: Path) -> None:
    package = tmp_path / "code" / "mine"
    package.mkdir(parents=True)
    (package / "setup.py").write_text("1")
    first = key_of(tmp_path, "-e ./code/mine[extra]\n")
    (package / "setup.py").write_text("2")
    assert first != key_of(tmp_path, "-e ./code/mine[extra]\n")


def test_key_of_files_that_include_each_other(tmp_path: Path) -> None:
    assert key_of(tmp_path, "-r requirements.txt\nsix\n")


def test_uv_gets_an_allow_list() -> None:
    needed = {
        "PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "HTTPS_PROXY": "p", "no_proxy": "n", "SSL_CERT_FILE": "f", "UV_CACHE_DIR": "c",
    }  # fmt: skip
    others = dict.fromkeys(("AWS_SECRET_ACCESS_KEY", "PYTHONPATH", "VIRTUAL_ENV", "LAKESERVE_ADMIN_TOKEN"), "x")
    passed = uv_environment({**needed, **others, "UV_PYTHON_DOWNLOADS": "automatic"})
    assert needed.items() <= passed.items()
    assert not set(others) & set(passed)
    assert passed["UV_PYTHON_DOWNLOADS"] == "never"


def test_pips_index_counts_unless_uv_has_its_own() -> None:
    pips = {
        "PIP_INDEX_URL": "https://a/simple",
        "PIP_EXTRA_INDEX_URL": "https://b  https://c",
        "PIP_FIND_LINKS": "/x /y",
    }
    passed = uv_environment(pips)
    assert passed["UV_DEFAULT_INDEX"] == "https://a/simple"
    assert passed["UV_INDEX"] == "https://b https://c"
    assert passed["UV_FIND_LINKS"] == "/x,/y"
    assert uv_environment(pips | {"UV_INDEX_URL": "https://z"}).get("UV_DEFAULT_INDEX") is None


@pytest.mark.parametrize(
    ("line", "safe"),
    [
        ("Fetched https://user:secret@host/simple/x", "Fetched https://****@host/simple/x"),
        ("git+ssh://git@github.com/a/b and http://t0ken@h:9/", "git+ssh://****@github.com/a/b and http://****@h:9/"),
        ("--index-url=https://a:b%40c@h/", "--index-url=https://****@h/"),
        ("https://host/a@b mail me@x.y", "https://host/a@b mail me@x.y"),
    ],
)
def test_redact(line: str, safe: str) -> None:
    assert redact(line) == safe


UNPUBLISHED = """\
Using Python 3.11.7 environment at: d
error: No solution found when resolving dependencies
  cause: Because there is no version of mlflow-skinny==3.18.0 and mlflow>=3.18.0 depends on it, mlflow>=3.18.0 cannot be used.
         And because you require mlflow==3.18.0, we can conclude that your requirements are unsatisfiable."""

OLD_STYLE = """\
  \u00d7 No solution found when resolving dependencies:
  \u2570\u2500\u25b6 Because there is no version of a==1
      and you require a==1, no.
"""

UNREACHABLE = """\
error: Request failed after 3 retries in 7.8s
  cause: Failed to fetch: http://h/
  cause: Connection refused (os error 111)
"""

REASONS = {
    UNPUBLISHED: "Because there is no version of mlflow-skinny==3.18.0 and mlflow>=3.18.0 depends on it, mlflow>=3.18.0 cannot be "
    "used. And because you require mlflow==3.18.0, we can conclude that your requirements are unsatisfiable.",
    OLD_STYLE: "Because there is no version of a==1 and you require a==1, no.",
    UNREACHABLE: "Request failed after 3 retries in 7.8s: Failed to fetch: http://h/: Connection refused (os error 111)",
    "Resolved 3 packages\nKilled\n\n": "Killed",
    "": "uv printed nothing",
}


@pytest.mark.parametrize("output", REASONS)
def test_reason(output: str) -> None:
    assert reason(output.splitlines()) == REASONS[output]


def test_reason_is_cut() -> None:
    text = reason(["error: " + "x" * 5000])
    assert len(text) == MAX_REASON
    assert text.endswith("…")


def test_pyenv_interpreters_best_first(tmp_path: Path) -> None:
    for version in ("3.9.9", "3.9.18", "3.9.2", "3.10.1"):
        folder = tmp_path / "versions" / version / "bin"
        folder.mkdir(parents=True)
        (folder / f"python{minor_of(version)}").touch()
    found = pyenv_interpreters("3.9.9", {"PYENV_ROOT": str(tmp_path)})
    assert [path.parent.parent.name for path in found] == ["3.9.9", "3.9.18", "3.9.2"]
    assert pyenv_interpreters("3.8", {"HOME": str(tmp_path)}) == []


async def test_find_interpreter_passes_over_what_does_not_run() -> None:
    async def capture(argv: list[str]) -> tuple[int, list[str]]:
        if argv[1:3] == ["python", "find"]:
            return 0, [f"/found/{argv[-1]}"]
        if argv[1:3] == ["python", "list"]:
            listed = '[{"version":"3.9.1","path":"/liar"},{"version":"3.8.1","path":"/old"},{"version":"3.9.2","path":"/good"}]'
            return 0, ["warning: a shim", listed]
        told = {"/liar": "3.8.1", "/good": "3.9.2"}.get(argv[0])
        return (0, [f"lakeserve-python {told}"]) if told else (127, ["pyenv: python3.9: command not found"])

    assert await find_interpreter("3.9.18", uv="uv", capture=capture, environ={}) == Path("/good")


async def test_a_build_is_shared_and_read_by_all() -> None:
    logs: list[list[str]] = [[], []]
    first_line, finish = asyncio.Event(), asyncio.Event()
    forgotten: list[bool] = []

    async def work(log: object) -> None:
        assert callable(log)
        log("one")
        first_line.set()
        await finish.wait()
        log("two")

    build = SharedBuild(work, lambda: forgotten.append(True))
    first = asyncio.create_task(build.join(logs[0].append))
    await first_line.wait()
    second = asyncio.create_task(build.join(logs[1].append))
    await asyncio.sleep(0)
    finish.set()
    await asyncio.gather(first, second)
    assert logs == [["one", "two"], ["one", "two"]]
    assert forgotten


async def test_a_build_ends_when_nobody_waits() -> None:
    ended = asyncio.Event()
    started = asyncio.Event()

    async def work(_: object) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    build = SharedBuild(work, lambda: None)
    waiters = [asyncio.create_task(build.join(lambda _: None)) for _ in range(2)]
    await started.wait()
    waiters[0].cancel()
    await asyncio.wait([waiters[0]])
    assert not ended.is_set()
    waiters[1].cancel()
    await asyncio.wait([waiters[1]])
    assert ended.is_set()


async def test_a_lock_is_waited_for_and_given_back(tmp_path: Path) -> None:
    waited: list[bool] = []
    async with file_lock(tmp_path / "lock", waiting=lambda: None):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), file_lock(tmp_path / "lock", waiting=lambda: waited.append(True)):
                raise AssertionError("two hold it")
    assert waited == [True]
    async with asyncio.timeout(5), file_lock(tmp_path / "lock", waiting=lambda: waited.append(True)):
        assert waited == [True]
