"""A login with the browser, as the official SDK goes about it: ``HOST PERSONAL_TOKEN``; prints ``ok``.

The browser is played by a few lines: they open the SDK's URL, fill in the form, and stop where the browser would call the command.
"""

from __future__ import annotations

import html
import re
import sys
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.oauth import OAuthClient

HOST, TOKEN = sys.argv[1:]
REDIRECT = "http://localhost:8020"
SCOPES = ["offline_access", "all-apis"]


def sdk_client() -> OAuthClient:
    if hasattr(OAuthClient, "from_host"):
        return OAuthClient.from_host(HOST, "databricks-cli", REDIRECT, scopes=SCOPES)
    return OAuthClient(HOST, "databricks-cli", REDIRECT, scopes=SCOPES)


def url_of(consent: object) -> str:
    return getattr(consent, "auth_url", None) or consent.authorization_url  # type: ignore[attr-defined, no-any-return]


def browse(url: str, token: str) -> requests.Response:
    page = requests.get(url, timeout=10)
    assert page.status_code == 200, page.text
    assert page.headers["X-Frame-Options"] == "DENY"
    fields = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text))
    filled = {name: html.unescape(value) for name, value in fields.items()} | {"token": token}
    return requests.post(url, filled, timeout=10, allow_redirects=False)


def me(token: str) -> str:
    found = WorkspaceClient(config=Config(host=HOST, token=token, auth_type="pat")).current_user.me().user_name
    assert found
    return found


consent = sdk_client().initiate_consent()
wrong = browse(url_of(consent), "dapi" + "0" * 40)
assert wrong.status_code == 401
assert "not known" in wrong.text
answer = browse(url_of(consent), TOKEN)
assert answer.status_code == 303, answer.text
assert answer.headers["Location"].startswith(REDIRECT + "?"), answer.headers
session = consent.exchange_callback_parameters(dict(parse_qsl(urlsplit(answer.headers["Location"]).query)))
first = session.token()
assert first.access_token
assert first.access_token != TOKEN
assert first.refresh_token
assert me(first.access_token) == me(TOKEN)

session._token.expiry = datetime.now() - timedelta(seconds=1)  # noqa: DTZ005 - as the SDK reckons
second = session.token()
assert second.access_token != first.access_token
assert me(second.access_token) == me(TOKEN)

again = {"grant_type": "refresh_token", "client_id": "databricks-cli", "refresh_token": "lsrt0"}
refused = requests.post(f"{HOST}/oidc/v1/token", again, timeout=10)
assert refused.status_code == 400
assert refused.json()["error_description"] == "Refresh token is invalid"
print("ok")
