"""The commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lakeserve import __version__
from lakeserve.cli.up import become_supervisor

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Databricks Model Serving on your own machines.",
    pretty_exceptions_enable=False,
)


@app.callback()
def root() -> None:
    """Databricks Model Serving on your own machines."""


@app.command()
def up(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; 0 takes a free one. [default: 8080]", min=0, max=65535)
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where state lies. [default: ~/.local/share/lakeserve]")] = None,
    gateways: Annotated[
        int | None, typer.Option(help="Gateway processes that share the port. [default: 1]", min=1, max=64)
    ] = None,
    registry: Annotated[
        str | None, typer.Option(help="Another MLflow registry (http, sqlite or file URI) instead of the embedded one.")
    ] = None,
) -> None:
    """Start the server here, in the foreground. Ctrl-C ends it and everything that it started.

    The admin token comes from LAKESERVE_ADMIN_TOKEN, or is generated at the first start and shown once.
    """
    become_supervisor(host=host, port=port, data_dir=data_dir, gateways=gateways, registry=registry)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)
