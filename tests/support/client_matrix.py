"""Which releases of which clients are run against the server, what each tries, and what is known not to work.

``tests/clients/test_matrix.py`` runs them, holds them to what is said here and notes what came of it;
``python -m support.client_matrix`` (in ``tests/``) writes ``docs/reference/compatibility.md`` from those notes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from support.clients import ROOT

PAGE = ROOT / "docs" / "reference" / "compatibility.md"
_RESULTS = ROOT / ".cache" / "clients" / "results"


@dataclass(frozen=True)
class Release:
    """One release, with what else is installed beside it. ``gaps``: what does not work, and why."""

    version: str
    beside: tuple[str, ...] = ()
    gaps: Mapping[str, str] = field(default_factory=dict)

    @property
    def told(self) -> str:
        return " with ".join((self.version, *self.beside))


@dataclass(frozen=True)
class Client:
    """``program``: a file of tests/clients. It gets host and token, and then ``more``, or by DATABRICKS_HOST and _TOKEN."""

    name: str
    program: str
    cases: tuple[str, ...]
    releases: tuple[Release, ...]
    more: tuple[str, ...] = ()
    by_environment: bool = False

    @property
    def of_node(self) -> bool:
        return self.program.endswith(".mjs")

    def requirements(self, release: Release) -> tuple[str, ...]:
        return (f"{self.name}{'@' if self.of_node else '=='}{release.version}", *release.beside)


_NO_RESPONSES = "this release of the client has no `use_responses_api` and sends chat messages instead"
_PARTS = "the client sends text in parts, and the signature that MLflow gives every ChatModel takes only plain text"
_NO_ID = "the client wants an `id` at the top of the answer, which MLflow's ChatAgent does not give and lakeserve does not add"
_OF_AI_SDK = {
    "chatCompletions of a ChatModel": _PARTS,
    "chatAgent, generateText": _NO_ID,
    "chatAgent, streamText": _NO_ID,
}

CLIENTS = (
    Client(
        "databricks-sdk",
        "serving_program.py",
        ("create, query in four shapes, update, failed update, logs, tags, errors, delete",),
        (Release("0.27.0"), Release("0.60.0"), Release("0.156.0")),
        more=("matrix-sdk",),
    ),
    Client(
        "mlflow",
        "deployments_program.py",
        ("deployments client: create, predict, predict_stream, update, errors, delete",),
        (Release("2.22.0"), Release("3.17.2")),
        by_environment=True,
    ),
    Client(
        "openai",
        "openai_program.py",
        (
            "chat.completions",
            "chat.completions, streamed",
            "responses",
            "responses, streamed",
            "completions",
            "embeddings",
            "models.list and models.retrieve",
            "errors as the client's own exceptions",
        ),
        (Release("1.66.0"), Release("3.54.0")),
    ),
    Client(
        "databricks-openai",
        "databricks_openai_program.py",
        (
            "chat.completions",
            "chat.completions, streamed",
            "chat.completions, AsyncDatabricksOpenAI",
            "responses",
            "responses, streamed",
            "embeddings",
        ),
        (Release("0.8.0"), Release("0.18.0")),
    ),
    Client(
        "databricks-langchain",
        "databricks_langchain_program.py",
        (
            "ChatDatabricks.invoke",
            "ChatDatabricks.stream",
            "ChatDatabricks.ainvoke",
            "ChatDatabricks.invoke of a ChatAgent",
            "ChatDatabricks.invoke with use_responses_api",
            "ChatDatabricks.stream with use_responses_api",
            "DatabricksEmbeddings",
        ),
        (
            Release(
                "0.1.0",
                gaps={
                    "ChatDatabricks.invoke of a ChatAgent": "this release of the client reads only `choices`",
                    "ChatDatabricks.invoke with use_responses_api": _NO_RESPONSES,
                    "ChatDatabricks.stream with use_responses_api": _NO_RESPONSES,
                },
            ),
            # It cannot be imported beside a newer mcp, whatever server it is for.
            Release("0.22.0", ("mcp<2",)),
        ),
        by_environment=True,
    ),
    Client(
        "@databricks/ai-sdk-provider",
        "ai_sdk_program.mjs",
        (
            "chatCompletions, generateText",
            "chatCompletions, streamText",
            "chatCompletions of a ChatModel",
            "chatAgent, generateText",
            "chatAgent, streamText",
            "responses, generateText",
            "responses, streamText",
        ),
        (
            Release("0.3.0", ("ai@6.0.326",), gaps=_OF_AI_SDK),
            Release("0.5.1", ("ai@6.0.326",), gaps=_OF_AI_SDK),
        ),
    ),
)

RUNS = [(client, release) for client in CLIENTS for release in client.releases]


def note(client: Client, release: Release, found: Mapping[str, str | None]) -> None:
    """Keep what came of a run: each case with its error, or None where it works."""
    _RESULTS.mkdir(parents=True, exist_ok=True)
    (_RESULTS / _file(client, release)).write_text(json.dumps(found))


def expected() -> Iterator[tuple[str, str, str, str]]:
    """The rows of the page if every run comes out as it is said here."""
    for client, release in RUNS:
        for case in client.cases:
            yield client.name, release.told, case, _told(release.gaps.get(case))


def noted() -> Iterator[tuple[str, str, str, str]]:
    """The rows of the page by the last runs.

    :raises FileNotFoundError: a release was not run yet.
    """
    for client, release in RUNS:
        found = json.loads((_RESULTS / _file(client, release)).read_text())
        for case, error in found.items():
            reason = None if error is None else release.gaps.get(case, error.splitlines()[0])
            yield client.name, release.told, case, _told(reason)


def render(rows: Iterator[tuple[str, str, str, str]]) -> str:
    lines = [
        "# Compatibility",
        "",
        "Clients that are run, unmodified, against a real server by `tests/clients/test_matrix.py`, and what came of it. Chat,",
        "responses and embeddings are asked of custom models. Other releases were not tried. Made from the results of those runs",
        "by `python -m support.client_matrix` in `tests`; do not edit.",
        "",
        "| client | release | tried | result |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| {name} | {version} | {case} | {result} |" for name, version, case, result in rows]
    return "\n".join(lines) + "\n"


def _told(reason: str | None) -> str:
    return "works" if reason is None else f"does not work: {reason}"


def _file(client: Client, release: Release) -> str:
    return f"{client.name.replace('/', '-')}-{release.version}.json"


if __name__ == "__main__":
    PAGE.write_text(render(noted()))
