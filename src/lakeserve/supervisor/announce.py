"""What ``lakeserve up`` says once the port is bound."""

from __future__ import annotations

import sys

from lakeserve.settings import Settings


def announce(settings: Settings, token: str | None) -> None:
    """``token`` is given only when it was generated just now: it is shown this once and stored nowhere."""
    if token is not None:
        authenticate = f"{token}\n              (made now and shown this once; send it as 'Authorization: Bearer …')"
    else:
        authenticate = "the admin token of the first start, or the one in LAKESERVE_ADMIN_TOKEN"
    lines = [
        f"lakeserve is listening on {settings.url}",
        "",
        f"  token       {authenticate}",
        f"  state       {settings.data_dir}",
        f"  logs        {settings.data_dir / 'logs'}",
        f"  registry    {settings.registry or 'embedded MLflow server, on the same URL'}",
        "",
        f"  export DATABRICKS_HOST={settings.url} DATABRICKS_TOKEN={token or '<token>'}",
        f"  export MLFLOW_TRACKING_URI={settings.url} MLFLOW_TRACKING_TOKEN={token or '<token>'}",
        "",
        "Ctrl-C ends it.",
    ]
    print("\n".join(lines), flush=True)
    if settings.host not in ("127.0.0.1", "localhost", "::1"):
        print(
            f"Warning: {settings.host} can be reached from other machines, and traffic is not encrypted.",
            file=sys.stderr,
        )
