"""The ``lakeserve`` program. Commands are thin: they read flags and call what does the work."""

from __future__ import annotations

from lakeserve.cli.app import app


def main() -> None:
    app()
