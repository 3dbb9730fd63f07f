"""Who am I, and what is this host: as the real SDK reads the answers."""

from __future__ import annotations

from databricks.sdk.oauth import HostMetadata
from databricks.sdk.service import iam

from lakeserve.domain.principal import Membership, Principal
from lakeserve.wire.databricks.discovery import render_host_metadata
from lakeserve.wire.databricks.scim import render_me


def test_a_person() -> None:
    rendered = render_me(
        Principal("42", "ana@example.com", "Ana", (Membership("admins", "admins"), Membership("7", "risk", False)))
    )
    user = iam.User.from_dict(rendered)
    assert user.as_dict() == rendered
    assert (user.id, user.user_name, user.display_name, user.active) == ("42", "ana@example.com", "Ana", True)
    assert [(each.value, each.primary) for each in user.emails or []] == [("ana@example.com", True)]
    assert [each.display for each in user.groups or []] == ["admins", "risk"]


def test_a_service_principal_has_no_address() -> None:
    rendered = render_me(Principal("7", "f3b0a1de-0000-4000-8000-1234567890ab"))
    assert "emails" not in rendered
    assert rendered["displayName"] == "f3b0a1de-0000-4000-8000-1234567890ab"


def test_host_metadata() -> None:
    rendered = render_host_metadata("http://127.0.0.1:8080/", 900800700600)
    assert rendered == {"oidc_endpoint": "http://127.0.0.1:8080/oidc", "workspace_id": "900800700600"}
    assert HostMetadata.from_dict(rendered).workspace_id == "900800700600"
