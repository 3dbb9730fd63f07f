"""``python -m spec`` writes ``docs/reference/coverage.md`` and ``docs/internals/lifecycle.md`` anew."""

from __future__ import annotations

from spec import coverage, lifecycle

for page, text in (
    (coverage.PAGE, coverage.render(coverage.load(coverage.OPERATIONS.read_text()))),
    (lifecycle.PAGE, lifecycle.render()),
):
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text)
