"""The whole of lakeserve in one go: start, train, register, deploy, query, update, break, delete, stop.

Run it with ``make demo``. It uses nothing of lakeserve but the program ``lakeserve up``: the models are logged with MLflow by
``demo/train.py``, and everything else is asked for with Databricks' own SDK, both unmodified. The server gets a temporary data
directory and a free port, and is gone, with every process it started, when this ends, however it ends.

Exit status 0 when everything was as promised, 1 with a sentence that says what was not.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

_T = TypeVar("_T")

environ = os.environ  # noqa: TID251 - a program of its own, not part of the server

HERE = Path(__file__).resolve().parent
LAKESERVE = Path(sys.executable).with_name("lakeserve")

MEMORY_CLAIM_MB = 250
"""Resident memory of an idle server, registry apart (MLflow's own server is as large as it is)."""
STOP_CLAIM_S = 10.0
"""From SIGTERM to the end of the whole tree."""
DEPLOY_LIMIT = timedelta(minutes=15)
"""The first environment of a machine is downloaded; after that it takes seconds."""
START_LIMIT_S = 60.0

ENDPOINT = "wine"
MODEL = "main.default.wine"


class Broken(Exception):
    """A promise that was not kept, as one sentence."""


def main() -> int:
    # Settings of the caller's shell that would lead the server, MLflow or the SDK elsewhere; and one that makes imports slow.
    for name in [n for n in environ if n.startswith(("LAKESERVE_", "MLFLOW_", "DATABRICKS_", "PYTHONDONTWRITE"))]:
        del environ[name]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("demo: told to stop"))
    began = time.monotonic()
    try:
        # Short, because Unix sockets lie in it, and not our own folder: MLflow would find the uv.lock of this project there
        # and take it for the model's.
        with tempfile.TemporaryDirectory(prefix="lakeserve-demo-") as folder:
            show(Path(folder))
    except Broken as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nThe demo was interrupted; the server has been ended.", file=sys.stderr)
        return 130
    print(f"\nEverything was as promised. It took {time.monotonic() - began:.1f} s.")
    return 0


def show(folder: Path) -> None:
    token = "dapi" + secrets.token_hex(16)
    with running_server(folder, token) as (server, url):
        show_memory(server, url)
        train(folder, url, token)
        use_the_sdk(url, token, lambda: train(folder, url, token))
        show_stop(server)


# The server


@contextlib.contextmanager
def running_server(folder: Path, token: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """``lakeserve up`` on a free port. Yields its process and its URL, and ends it in any case."""
    data_dir, said = folder / "data", folder / "lakeserve.out"
    say(f"Starting lakeserve with its state in {data_dir}")
    with said.open("wb") as output:
        began = time.monotonic()
        server = subprocess.Popen(  # noqa: S603 - our own program
            [LAKESERVE, "up", "--port", "0", "--data-dir", data_dir],
            env={**environ, "LAKESERVE_ADMIN_TOKEN": token},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for this program, which then ends the server
        )
    try:
        url = wait_for(lambda: printed_url(server, said), "lakeserve to say where it listens")
        wait_for(lambda: read(f"{url}/health"), "the first answer")
        say(f"It answers at {url}, {time.monotonic() - began:.2f} s after its start")
        yield server, url
    except Broken as error:
        raise Broken(f"{error}\nWhat the server said:\n{server_output(folder)}") from None
    finally:
        end(server)


def printed_url(server: subprocess.Popen[bytes], said: Path) -> str | None:
    text = said.read_text()
    if server.poll() is not None:
        raise Broken(f"lakeserve ended at its start: {text}")
    found = re.search(r"lakeserve is listening on (\S+)\n", text)
    return found[1] if found else None


def server_output(folder: Path) -> str:
    files = [folder / "lakeserve.out", *sorted((folder / "data" / "logs").rglob("*.log"))]
    return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-3000:]}" for file in files if file.exists())


def end(server: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL if that does not help; the tree's processes end with the supervisor, whichever it was."""
    if server.poll() is None:
        server.terminate()
        try:
            server.wait(2 * STOP_CLAIM_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def show_memory(server: subprocess.Popen[bytes], url: str) -> None:
    wait_for(lambda: b'"registry":true' in read(f"{url}/ready"), "the registry to start")
    if not Path("/proc/self/status").exists():
        say("Memory is not shown: this system has no /proc")
        return
    names = {"lakeserve.bootstrap.gateway": "gateway", "lakeserve.bootstrap.controller": "controller"}
    names |= {"lakeserve.supervisor": "supervisor", "lakeserve.adapters.mlflow": "registry"}
    own = 0.0
    say("Idle memory (resident, shared pages counted in each process):")
    for pid in tree(server.pid):
        command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        name = next((names[part] for part in command if part in names), " ".join(command))
        resident = resident_mb(pid)
        own += 0.0 if name == "registry" else resident
        print(f"    {name:<12}{resident:7.1f} MB{'  (MLflow)' if name == 'registry' else ''}")
    print(f"    {'all but it':<12}{own:7.1f} MB  (claimed: at most {MEMORY_CLAIM_MB} MB)")
    if own > MEMORY_CLAIM_MB:
        raise Broken(f"the idle server uses {own:.0f} MB beside the registry; {MEMORY_CLAIM_MB} MB are claimed.")


def show_stop(server: subprocess.Popen[bytes]) -> None:
    processes = tree(server.pid)
    say(f"Ending the server with SIGTERM: {len(processes) or 'some'} processes")
    began = time.monotonic()
    server.terminate()
    try:
        status = server.wait(STOP_CLAIM_S)
    except subprocess.TimeoutExpired:
        raise Broken(f"the server was still there {STOP_CLAIM_S:.0f} s after SIGTERM.") from None
    if status != 0:
        raise Broken(f"the server ended with status {status}.")
    left = [pid for pid in processes if Path(f"/proc/{pid}").exists()]
    if left:
        raise Broken(f"these processes were left behind: {left}.")
    print(f"    all gone after {time.monotonic() - began:.1f} s")


# What a user does


def train(folder: Path, url: str, token: str) -> None:
    """Run ``demo/train.py``: MLflow, and two variables that say where to."""
    say("Training a model and registering it with MLflow (demo/train.py)")
    variables = {"MLFLOW_TRACKING_URI": url, "MLFLOW_TRACKING_TOKEN": token}
    with timed("trained, logged and registered"):
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, HERE / "train.py"],
            env={**environ, **variables},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise Broken(f"demo/train.py failed.\n{done.stdout}{done.stderr}")
    print(f"    it says: {done.stdout.strip().splitlines()[-1]}")


def use_the_sdk(url: str, token: str, train_again: Callable[[], None]) -> None:
    # Imported here: the SDK takes a second, which is none of the server's.
    from databricks.sdk import WorkspaceClient  # noqa: PLC0415
    from databricks.sdk.errors import DatabricksError, OperationFailed  # noqa: PLC0415

    w = WorkspaceClient(host=url, token=token, auth_type="pat")
    try:
        deploy(w)
        query(w, expected="wine-1")
        train_again()
        update(w)
        query(w, expected="wine-2")
        refuse_wrong_input(w)
        delete(w)
    except (DatabricksError, OperationFailed, TimeoutError) as error:
        raise Broken(f"the SDK said: {error}") from error


def served(version: str) -> Any:
    from databricks.sdk.service.serving import ServedEntityInput  # noqa: PLC0415

    return ServedEntityInput(
        entity_name=MODEL, entity_version=version, workload_size="Small", scale_to_zero_enabled=False
    )


def deploy(w: Any) -> None:
    from databricks.sdk.service.serving import EndpointCoreConfigInput  # noqa: PLC0415

    say("Creating an endpoint with databricks-sdk; its Python environment is built from the model's own requirements")
    config = EndpointCoreConfigInput(name=ENDPOINT, served_entities=[served("1")])
    with timed("READY"):
        w.serving_endpoints.create_and_wait(ENDPOINT, config=config, timeout=DEPLOY_LIMIT)


def update(w: Any) -> None:
    say("Moving the endpoint to version 2 while version 1 serves")
    with timed("updated"):
        w.serving_endpoints.update_config_and_wait(ENDPOINT, served_entities=[served("2")], timeout=DEPLOY_LIMIT)


def query(w: Any, *, expected: str) -> None:
    say("Querying it with two rows")
    rows = wines()
    with timed("answered"):
        answer = w.serving_endpoints.query(ENDPOINT, dataframe_records=rows)
    print(f"    served_model_name {answer.served_model_name}, predictions {answer.predictions}")
    if answer.served_model_name != expected:
        raise Broken(f"{answer.served_model_name} answered, not {expected}.")
    if answer.predictions != [0, 2]:
        raise Broken(f"the model predicted {answer.predictions} for a wine of class 0 and one of class 2.")


def refuse_wrong_input(w: Any) -> None:
    from databricks.sdk.errors import BadRequest  # noqa: PLC0415

    say("Asking with a column missing")
    rows = [{name: value for name, value in row.items() if name != "alcohol"} for row in wines()]
    try:
        w.serving_endpoints.query(ENDPOINT, dataframe_records=rows)
    except BadRequest as error:
        # MLflow's own words: first the data, which is long, and at the end what is wrong with it.
        reason = str(error).rpartition("Error: ")[2]
        print(f"    refused with status 400, {error.error_code}: {reason}")
        if error.error_code != "INVALID_PARAMETER_VALUE" or "missing inputs ['alcohol']" not in reason:
            raise Broken("the refusal is not the documented one.") from None
    else:
        raise Broken("a request without a required column was answered.")
    query(w, expected="wine-2")


def delete(w: Any) -> None:
    say("Deleting the endpoint")
    w.serving_endpoints.delete(ENDPOINT)
    if list(w.serving_endpoints.list()):
        raise Broken("the endpoint is still listed after it was deleted.")
    print("    no endpoint is listed any more")


def wines() -> list[dict[str, float]]:
    """The first and the last wine of the data that train.py learns from, of classes 0 and 2."""
    from sklearn.datasets import load_wine  # noqa: PLC0415

    rows: list[dict[str, float]] = load_wine(as_frame=True).data.iloc[[0, -1]].to_dict("records")
    return rows


# Helpers


def say(text: str) -> None:
    print(f"\n{text}", flush=True)


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    print(f"    {what} after {took:.1f} s" if took >= 1 else f"    {what} after {took * 1000:.0f} ms", flush=True)


def wait_for(condition: Callable[[], _T | None], what: str) -> _T:
    """The first true value of ``condition``."""
    deadline = time.monotonic() + START_LIMIT_S
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise Broken(f"waited {START_LIMIT_S:.0f} s in vain for {what}.")
        time.sleep(0.02)
    return value


def read(url: str) -> bytes:
    """The body of the answer; empty when there is none, or one that is no success."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own server
            return bytes(answer.read())
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return b""


def tree(pid: int) -> list[int]:
    """The process and everything below it; only itself where there is no /proc."""
    try:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(each for child in below for each in tree(int(child)))]


def resident_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


if __name__ == "__main__":
    sys.exit(main())
