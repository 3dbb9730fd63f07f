"""The token endpoint's form, and what is told of tokens, secrets and permissions."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from databricks.sdk.service import oauth2, serving
from databricks.sdk.service import settings as sdk_settings

from lakeserve.domain.directory import Account
from lakeserve.domain.errors import InvalidParameterValue, NotImplementedYet
from lakeserve.domain.grants import Grant, Grantee
from lakeserve.domain.oauth import LoginRequest, OAuthRefused
from lakeserve.domain.principal import Kind, Level
from lakeserve.ports.store import Token, TokenKind
from lakeserve.wire.databricks import login_page, oauth, permissions, tokens

FORM = "application/x-www-form-urlencoded"
ID = "f3b0a1de-0000-4000-8000-1234567890ab"
CLIENT = f"client_id={ID}&client_secret=dose1"
TOKEN = Token("digest", "t1", TokenKind.PERSONAL, "7", "laptop", 1_700_000_000_123, 1_700_000_060_123)
ADA = Account("7", Kind.USER, "ada@example.com")


def _basic(text: str) -> dict[str, str]:
    return {"content-type": FORM, "authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("headers", "body", "scope"),
    [
        (_basic(f"{ID}:dose1"), "grant_type=client_credentials&scope=all-apis", "all-apis"),
        (_basic(f"{ID}:dose1"), f"grant_type=client_credentials&client_id={ID}", ""),
        ({"content-type": FORM}, f"grant_type=client_credentials&{CLIENT}", ""),
        ({"content-type": FORM + "; charset=utf-8"}, f"{CLIENT}&grant_type=client_credentials&audience=x", ""),
    ],
)
def test_clients_show_their_secret_in_the_header_or_in_the_form(headers: dict[str, str], body: str, scope: str) -> None:
    assert oauth.parse_token_request(headers, body.encode()) == oauth.ClientGrant(ID, "dose1", scope)


@pytest.mark.parametrize(
    ("headers", "body", "told"),
    [
        ({}, CLIENT + "&grant_type=client_credentials", (400, "invalid_request")),
        ({"content-type": "application/json"}, "{}", (400, "invalid_request")),
        ({"content-type": FORM}, "", (400, "invalid_request")),
        ({"content-type": FORM}, "grant_type=", (400, "invalid_request")),
        ({"content-type": FORM}, "grant_type=password&" + CLIENT, (400, "unsupported_grant_type")),
        ({"content-type": FORM}, "grant_type=implicit", (400, "unsupported_grant_type")),
        (_basic(f"{ID}:dose1"), "grant_type=client_credentials&assume_group=7", (400, "invalid_request")),
        ({"content-type": FORM}, "grant_type=client_credentials", (401, "invalid_client")),
        ({"content-type": FORM}, f"grant_type=client_credentials&client_id={ID}", (401, "invalid_client")),
        (_basic("no colon"), "grant_type=client_credentials", (401, "invalid_client")),
        ({"content-type": FORM, "authorization": "Basic %"}, "grant_type=client_credentials", (401, "invalid_client")),
        (
            {"content-type": FORM, "authorization": "Bearer dapi1"},
            "grant_type=client_credentials",
            (401, "invalid_client"),
        ),
        (_basic(f"{ID}:dose1"), f"grant_type=client_credentials&{CLIENT}", (400, "invalid_request")),
        (_basic(f"{ID}:dose1"), "grant_type=client_credentials&client_id=other", (400, "invalid_request")),
        ({"content-type": FORM}, f"grant_type=client_credentials&{CLIENT}&scope=a&scope=b", (400, "invalid_request")),
        ({"content-type": FORM}, f"grant_type=client_credentials&{CLIENT}&x=%ff", (400, "invalid_request")),
        ({"content-type": FORM}, f"grant_type=client_credentials&{CLIENT}&x=\u00e9", (400, "invalid_request")),
        ({"content-type": FORM}, f"grant_type=client_credentials&{CLIENT}" + "&x=1" * 40, (400, "invalid_request")),
        (_basic(f"{ID}:dose1"), "grant_type=client_credentials&authorization_details=[]", (400, "invalid_request")),
    ],
)
def test_requests_that_are_refused(headers: dict[str, str], body: str, told: tuple[int, str]) -> None:
    with pytest.raises(OAuthRefused) as refused:
        oauth.parse_token_request(headers, body.encode())
    status, answer, extra = oauth.render_refusal(refused.value)
    assert (status, answer["error"]) == told
    assert answer.keys() == {"error", "error_description"}
    assert ("www-authenticate" in extra) == (status == 401)
    assert "dose1" not in str(answer)


def test_grants_of_a_login() -> None:
    headers = {"content-type": FORM}
    code = "grant_type=authorization_code&client_id=databricks-cli&code=c&code_verifier=v&redirect_uri=http://localhost:8020"
    assert oauth.parse_token_request(headers, code.encode()) == oauth.CodeGrant(
        "databricks-cli", "c", "http://localhost:8020", "v"
    )
    refresh = b"grant_type=refresh_token&client_id=databricks-cli&refresh_token=r"
    assert oauth.parse_token_request(headers, refresh) == oauth.RefreshGrant("databricks-cli", "r")


LOGIN = {
    "response_type": "code",
    "client_id": "databricks-cli",
    "redirect_uri": "http://localhost:8020",
    "scope": "all-apis offline_access",
    "state": "s",
    "code_challenge": "c" * 43,
    "code_challenge_method": "S256",
}


def test_a_login_request_is_read_and_answered() -> None:
    request = oauth.parse_login_request(LOGIN)
    request.check()
    assert request == LoginRequest("databricks-cli", "http://localhost:8020", "all-apis offline_access", "s", "c" * 43)
    assert oauth.render_callback(replace(request, state="a&b"), "x/y") == "http://localhost:8020?code=x%2Fy&state=a%26b"


@pytest.mark.parametrize(
    "wrong",
    [
        {"response_type": "token"},
        {"client_id": "other"},
        {"code_challenge_method": "plain"},
        {"code_challenge": "short"},
        {"code_challenge": ""},
        {"scope": "all-apis sql"},
        {"authorization_details": "[]"},
        {"assume_group": "7"},
        *(
            {"redirect_uri": uri}
            for uri in (
                "",
                "https://localhost:8020",
                "http://example.com",
                "http://localhost.example.com",
                "http://localhost@example.com",
                "http://localhost:8020@example.com/",
                "http://localhost:8020?x=1",
                "http://localhost:8020#x",
                "http://localhost:8020/\r\nx",
                "javascript:alert(1)",
                "//localhost",
            )
        ),
    ],
    ids=str,
)
def test_login_requests_that_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(OAuthRefused):
        oauth.parse_login_request({**LOGIN, **wrong}).check()


def test_the_login_page_escapes_what_it_is_given() -> None:
    request = replace(oauth.parse_login_request(LOGIN), state='"><script>alert(1)</script>')
    page = login_page.render_login(request, "<b>").decode()
    assert "<script" not in page
    assert "<b>" not in page
    assert "&quot;&gt;&lt;script&gt;" in page
    assert "<i>" not in login_page.render_refused("<i>").decode()
    assert "frame-ancestors 'none'" in login_page.HEADERS["content-security-policy"]


def test_a_personal_token_is_what_the_sdk_reads() -> None:
    made = sdk_settings.CreateTokenResponse.from_dict(tokens.render_created("dapi1", TOKEN))
    assert made.token_value == "dapi1"
    assert made.token_info is not None
    assert made.token_info.as_dict() == tokens.render_token(TOKEN)
    assert (made.token_info.token_id, made.token_info.expiry_time) == ("t1", 1_700_000_060_123)
    managed = tokens.render_managed_token(TOKEN, ADA)
    assert sdk_settings.TokenInfo.from_dict(managed).as_dict() == managed
    assert managed["owner_id"] == 7


def test_a_secret_is_what_the_sdk_reads() -> None:
    made = tokens.render_created_secret("dose1", TOKEN)
    assert oauth2.CreateServicePrincipalSecretResponse.from_dict(made).as_dict() == made
    assert made["expire_time"] == "2023-11-14T22:14:20.123Z"
    (listed,) = tokens.render_secrets([TOKEN])["secrets"]
    assert oauth2.SecretInfo.from_dict(listed).as_dict() == listed
    assert "digest" not in str(made) + str(listed)


@pytest.mark.parametrize("extra", [{"scopes": ["sql"]}, {"autoscope_enabled": True}])
def test_a_token_for_less_is_refused_and_not_given_for_more(extra: dict[str, Any]) -> None:
    with pytest.raises(NotImplementedYet):
        tokens.parse_create(extra)
    assert tokens.parse_create({"comment": "c", "lifetime_seconds": "60", "scopes": ["all-apis"]}) == ("c", 60)


@pytest.mark.parametrize(("lifetime", "seconds"), [(None, None), ("60s", 60), ("60.000s", 60)])
def test_lifetimes_of_secrets(lifetime: str | None, seconds: int | None) -> None:
    assert tokens.parse_create_secret({"lifetime": lifetime}) == seconds


@pytest.mark.parametrize("lifetime", ["60", "s", "1.5s", "-1s", 60])
def test_lifetimes_of_secrets_that_are_refused(lifetime: object) -> None:
    with pytest.raises(InvalidParameterValue):
        tokens.parse_create_secret({"lifetime": lifetime})


def test_an_access_list_is_what_the_sdk_reads() -> None:
    grants = [
        Grant(Grantee.USER, "ada@example.com", Level.CAN_VIEW, "Ada"),
        Grant(Grantee.SERVICE_PRINCIPAL, ID, Level.CAN_QUERY),
        Grant(Grantee.GROUP, "admins", Level.CAN_QUERY),
    ]
    rendered = permissions.render("e1", grants)
    read = serving.ServingEndpointPermissions.from_dict(rendered)
    assert read.as_dict() == rendered
    assert (read.object_id, read.object_type) == ("/serving-endpoints/e1", "serving-endpoint")
    *_, admins = rendered["access_control_list"]
    assert admins == {
        "group_name": "admins",
        "all_permissions": [
            {"permission_level": "CAN_QUERY", "inherited": False},
            {"permission_level": "CAN_MANAGE", "inherited": True, "inherited_from_object": ["/serving-endpoints/"]},
        ],
    }
    levels = serving.GetServingEndpointPermissionLevelsResponse.from_dict(permissions.render_levels())
    assert levels.as_dict() == permissions.render_levels()


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"permission_level": "CAN_VIEW"}, "exactly one of"),
        ({"user_name": "a", "group_name": "b", "permission_level": "CAN_VIEW"}, "exactly one of"),
        ({"user_name": "", "permission_level": "CAN_VIEW"}, "exactly one of"),
        ({"user_name": "a"}, "permission_level must be one of"),
        ({"user_name": "a", "permission_level": "CAN_USE"}, "permission_level must be one of"),
        ({"user_name": 7, "permission_level": "CAN_VIEW"}, "user_name must be text"),
        ("a", "must be an object"),
    ],
)
def test_entries_that_are_refused(entry: object, told: str) -> None:
    good = {"user_name": "a", "permission_level": "CAN_VIEW"}
    with pytest.raises(InvalidParameterValue, match=told) as refused:
        permissions.parse({"access_control_list": [good, entry]})
    assert "access_control_list[1]" in str(refused.value)
