"""Writes the pages of docs/reference that are made from the source: ``python docs/generate.py``.

``tests/meta/test_docs.py`` fails when a page is not what this would write. (``docs/reference/coverage.md`` is made by
``python -m spec``.)
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from lakeserve import settings
from lakeserve.domain import errors, secrets
from lakeserve.settings import Limits, Settings

REFERENCE = Path(__file__).resolve().parent / "reference"
MIB = 1024 * 1024

ERROR_MODULES = (errors, secrets)
"""Where errors are: the classes of a module that nobody imported would be missing."""

INTERNAL = {settings.VARIABLE, settings.LIFE_FD, settings.INSTANCE}
"""Variables that processes of the tree hand to each other; nobody else sets them."""

# What each variable means, and its default where that is not simply the one of its field in ``Settings``.
MEANINGS: dict[str, tuple[str | None, str]] = {
    "LAKESERVE_HOST": (None, "Address to listen on. Flag: `--host`"),
    "LAKESERVE_PORT": (None, "Port to listen on; 0 takes a free one. Flag: `--port`"),
    "LAKESERVE_DATA_DIR": ("`~/.local/share/lakeserve`", "Where all state lies. Flag: `--data-dir`"),
    "LAKESERVE_GATEWAYS": (None, "Gateway processes that share the port, 1 to 64. Flag: `--gateways`"),
    "LAKESERVE_REGISTRY": ("the embedded one", "URI of another MLflow registry. Flag: `--registry`"),
    "LAKESERVE_ADMIN_TOKEN": ("made at the first start", "Token of the administrator. No flag: process listings show flags"),
    "LAKESERVE_ADMIN_NAME": (None, "Name of the administrator, as `creator` and in `/Me`"),
    "LAKESERVE_WORKSPACE_ID": (None, "The workspace id that clients are told"),
    "LAKESERVE_MASTER_KEY_FILE": (
        "`master.key` in the data directory, made at the first start",
        "File of the key that encrypts secrets: 32 bytes in base64, closed to others",
    ),
    "LAKESERVE_ENV_MANAGER": (
        None,
        "Where models run: `uv` builds an environment from a model's requirements, `local` is the server's own. A served"
        " entity's `environment_vars` may say otherwise",
    ),
    "LAKESERVE_WORKER_START": (
        None,
        "How workers start: `fork`, `exec`, or `auto`, by rule. A served entity's `environment_vars` may say otherwise",
    ),
}  # fmt: skip


def render_settings() -> str:
    lines = [
        "# Settings",
        "",
        "Every setting of `lakeserve up`. A flag wins over its variable, a variable over the default; a value that is not of its",
        "setting's kind keeps the server from starting. Made from `src/lakeserve/settings.py` by `python docs/generate.py`; do not",
        "edit.",
        "",
        "| variable | default | meaning |",
        "| --- | --- | --- |",
    ]
    lines += [f"| `{name}` | {_default(name)} | {meaning} |" for name, (_, meaning) in MEANINGS.items()]
    lines += ["", "## Limits", "", "Each must be greater than zero. Sizes are bytes, times are seconds.", ""]
    lines += ["| variable | default | meaning |", "| --- | --- | --- |"]
    defaults = Limits()
    for name, meaning in _limits():
        value = getattr(defaults, name)
        lines.append(f"| `LAKESERVE_LIMIT_{name.upper()}` | {_number(name, value)} | {meaning} |")
    return "\n".join(lines) + "\n"


def variables() -> set[str]:
    """Every variable that ``settings.py`` reads, apart from the limits and what only our own processes set."""
    named = set(re.findall(r"\"(LAKESERVE_[A-Z_]+[A-Z])\"", inspect.getsource(settings)))
    return named - INTERNAL


def _default(variable: str) -> str:
    told, _ = MEANINGS[variable]
    if told is not None:
        return told
    field = variable.removeprefix("LAKESERVE_").lower()
    (default,) = (each.default for each in fields(Settings) if each.name == field)
    return f"`{default}`"


def _limits() -> Iterator[tuple[str, str]]:
    """Each field of ``Limits`` and the text below it."""
    (body,) = (node.body for node in ast.parse(inspect.getsource(Limits)).body if isinstance(node, ast.ClassDef))
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            yield node.target.id, inspect.cleandoc(str(text))


def _number(name: str, value: float) -> str:
    if name.endswith("_bytes"):
        return f"`{value}` ({value // MIB} MiB)" if value >= MIB else f"`{value}` ({value // 1024} KiB)"
    return f"`{value:g}`"


def render_errors() -> str:
    lines = [
        "# Errors",
        "",
        "Every error that lakeserve itself answers with. The body is a JSON object of two keys, `error_code` and `message`. What",
        "a model or MLflow's checks of its input refuse has MLflow's statuses, codes and words in the same form; the registry's",
        "routes answer as MLflow does. *Retry after* is the `Retry-After` header that usually comes with it; where there is none,",
        "a client gains nothing by asking again. Made from `src/lakeserve/domain` by `python docs/generate.py`; do not",
        "edit. Why the statuses are what they are: [decision 4](../decisions/0004-error-statuses.md).",
        "",
        "| status | error_code | class | when | retry after |",
        "| ---: | --- | --- | --- | --- |",
    ]
    for error in sorted(_subclasses(errors.LakeserveError), key=lambda each: (each.status, each.code, each.__name__)):
        retry = "" if error.default_retry_after is None else f"{error.default_retry_after} s"
        lines.append(f"| {error.status} | `{error.code}` | `{error.__name__}` | {_when(error)} | {retry} |")
    return "\n".join(lines) + "\n"


def _when(error: type[errors.LakeserveError]) -> str:
    """The first sentence of the class's own text."""
    text = error.__dict__.get("__doc__") or ""
    return re.split(r"(?<=[.:;])\s", " ".join(text.split()), maxsplit=1)[0].rstrip(".:;")


def _subclasses(base: type[errors.LakeserveError]) -> Iterator[type[errors.LakeserveError]]:
    for each in base.__subclasses__():
        yield each
        yield from _subclasses(each)


PAGES = {REFERENCE / "settings.md": render_settings, REFERENCE / "errors.md": render_errors}


if __name__ == "__main__":
    for page, render in PAGES.items():
        page.write_text(render())
