"""From flags to the process tree: this process becomes the supervisor, so that what parsed the flags leaves no memory behind."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from lakeserve import settings


def become_supervisor(**flags: object) -> NoReturn:
    try:
        chosen = settings.from_environment(**flags)
    except ValueError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    settings.replace_process([sys.executable, "-m", "lakeserve.supervisor"], chosen)
