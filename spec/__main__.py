"""``python -m spec`` writes ``docs/reference/coverage.md`` anew."""

from __future__ import annotations

from spec.coverage import OPERATIONS, PAGE, load, render

PAGE.parent.mkdir(parents=True, exist_ok=True)
PAGE.write_text(render(load(OPERATIONS.read_text())))
