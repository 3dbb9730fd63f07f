"""How uv is run and what its words mean: its environment, and the essence of its errors.

Nothing here starts a program; these are the texts on both sides of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

MAX_REASON = 1000

_PASSED = ("PATH", "HOME", "LANG", "TMPDIR", "NO_PROXY", "no_proxy")
_PASSED_PREFIXES = ("UV_", "PIP_", "SSL_CERT_", "LC_")
_PASSED_SUFFIXES = ("_PROXY", "_proxy")
_FROM_PIP = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_EXTRA_INDEX_URL": "UV_INDEX", "PIP_FIND_LINKS": "UV_FIND_LINKS"}
_UV_SAYS_WHERE = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX")
_FIXED = {
    "NO_COLOR": "1",
    "UV_NO_PROGRESS": "1",
    "UV_NO_WRAP": "1",
    # A Python that appears by itself would be neither the operator's nor the model's choice.
    "UV_PYTHON_DOWNLOADS": "never",
}
_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z][\w+.\-]*://)[^/\s@'\"]+@")
_STARTS = re.compile(r"^\s*(?:\u00d7|error:)\s*")
_CAUSE = re.compile(r"^(?:[├╰]─▶|cause:)\s*")


def uv_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What uv and the interpreters of models are run with: an allow-list of ``environ``, and quiet plain output.

    Where packages come from may be said in pip's variables; uv reads only its own, so they are translated unless uv's say it.
    """
    passed = {
        name: value
        for name, value in environ.items()
        if name in _PASSED or name.startswith(_PASSED_PREFIXES) or name.endswith(_PASSED_SUFFIXES)
    }
    if not any(passed.get(name) for name in _UV_SAYS_WHERE):
        for pips, uvs in _FROM_PIP.items():
            places = passed.get(pips, "").split()
            if places:
                passed[uvs] = ("," if uvs == "UV_FIND_LINKS" else " ").join(places)
    return passed | _FIXED


def redact(line: str) -> str:
    """The line without the user and password of any address in it."""
    return _CREDENTIALS.sub(r"\g<scheme>****@", line)


def reason(lines: Iterable[str]) -> str:
    """The essence of what uv printed before it failed, as one line.

    uv ends with ``error: …`` (older ones with a multiplication sign) and its causes, indented; what it printed before that is
    progress. A hint follows after a blank line and is kept too.
    """
    told: list[str] = []
    last = ""
    for line in lines:
        text = line.strip()
        last = text or last
        if _STARTS.match(line):
            told = [_STARTS.sub("", line).strip()]
        elif told and _CAUSE.match(text):
            told.append(_CAUSE.sub("", text))
        elif told and text:
            told[-1] += f" {text}"
    if len(told) > 1 and told[0].startswith("No solution found when resolving"):
        del told[0]  # the causes say it better
    essence = ": ".join(told) or last or "uv printed nothing"
    return essence if len(essence) <= MAX_REASON else essence[: MAX_REASON - 1].rstrip() + "…"
