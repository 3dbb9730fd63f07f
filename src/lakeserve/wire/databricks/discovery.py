"""What a client learns about this server before it authenticates."""

from __future__ import annotations

from typing import Any


def render_host_metadata(base_url: str, workspace_id: int | str) -> dict[str, Any]:
    """The answer at ``/.well-known/databricks-config``.

    ``workspace_id`` is text because the Go clients read it as such. ``account_id`` is left out on purpose: with it, they
    would take the host for one that serves several workspaces.
    """
    return {"oidc_endpoint": f"{base_url.rstrip('/')}/oidc", "workspace_id": str(workspace_id)}
