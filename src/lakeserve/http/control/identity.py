"""What this host is, and how one proves to it who one is: discovery, OAuth, personal tokens, secrets of service principals."""

from __future__ import annotations

from typing import Any

from lakeserve.control.login import Logins
from lakeserve.control.oauth import AccessTokens, ClientSecrets
from lakeserve.control.tokens import OwnedToken, PersonalTokens, TokenManagement
from lakeserve.domain.oauth import OAuthRefused
from lakeserve.http.control.routes import Answer, Call, ControlSettings, Routes
from lakeserve.wire.databricks import bodies, discovery, login_page, oauth, tokens
from lakeserve.wire.databricks.telemetry import render_receipt

_UNCACHED = {"cache-control": "no-store"}
_SECRETS = (
    # The account's API, and what the newest SDK calls its proxy in the workspace. There is one account here.
    "/api/2.0/accounts/{account}/servicePrincipals/{id}/credentials/secrets",
    "/api/2.0/accounts/servicePrincipals/{id}/credentials/secrets",
)


def add_discovery(routes: Routes, settings: ControlSettings) -> None:
    async def host_metadata(call: Call) -> Any:
        return discovery.render_host_metadata(call.base_url, settings.workspace_id)

    async def server_metadata(call: Call) -> Any:
        return oauth.render_server_metadata(call.base_url)

    async def telemetry(call: Call) -> Any:
        return render_receipt(bodies.read_object(call.body))

    routes.add("POST", "/telemetry-ext", "telemetry.send", telemetry)
    routes.add("GET", "/.well-known/databricks-config", "discovery.host_metadata", host_metadata)
    for path in ("/oidc/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server"):
        routes.add("GET", path, "oauth.metadata", server_metadata)


def add_oauth(routes: Routes, access: AccessTokens, logins: Logins) -> None:
    async def grant(call: Call) -> dict[str, Any]:
        request = oauth.parse_token_request(call.headers, call.body)
        if isinstance(request, oauth.ClientGrant):
            text, expires_in = await access.for_client(request.client_id, request.client_secret, request.scope)
            return oauth.render_token(text, expires_in)
        if isinstance(request, oauth.CodeGrant):
            session = await logins.redeem(request.code, request.client_id, request.redirect_uri, request.verifier)
        else:
            session = await logins.refresh(request.refresh_token, request.client_id)
        return oauth.render_token(session.access_token, session.expires_in, session.refresh_token)

    async def token(call: Call) -> Any:
        try:
            return Answer(await grant(call), headers=_UNCACHED)
        except OAuthRefused as refused:
            status, body, headers = oauth.render_refusal(refused)
            return Answer(body, status, {**headers, **_UNCACHED})

    routes.add("POST", "/oidc/v1/token", "oauth.token", token)
    _add_login_page(routes, logins)


def _add_login_page(routes: Routes, logins: Logins) -> None:
    def refuse(refused: OAuthRefused) -> Answer:
        return Answer(login_page.render_refused(refused.description), 400, login_page.HEADERS)

    async def show(call: Call) -> Any:
        try:
            request = oauth.parse_login_request(call.query)
            request.check()
        except OAuthRefused as refused:
            return refuse(refused)
        return Answer(login_page.render_login(request), headers=login_page.HEADERS)

    async def log_in(call: Call) -> Any:
        try:
            form = oauth.parse_form(call.headers, call.body)
            request = oauth.parse_login_request(form)
            code = logins.approve(request, form.get("token", "").strip())
        except OAuthRefused as refused:
            return refuse(refused)
        if code is None:
            page = login_page.render_login(request, "This token is not known, has ended, or is not a personal one.")
            return Answer(page, 401, login_page.HEADERS)
        return Answer(None, 303, {"location": oauth.render_callback(request, code), **_UNCACHED})

    for path in ("/oidc/v1/authorize", "/oidc/oauth2/v2.0/authorize"):
        routes.add("GET", path, "oauth.login_page", show)
        routes.add("POST", path, "oauth.log_in", log_in)


def add_tokens(routes: Routes, personal: PersonalTokens) -> None:
    async def create(call: Call) -> Any:
        comment, lifetime_s = tokens.parse_create(bodies.read_object(call.body))
        created = await personal.create(call.caller, comment, lifetime_s)
        return Answer(tokens.render_created(*created), headers=_UNCACHED)

    async def list_own(call: Call) -> Any:
        return tokens.render_tokens(personal.list(call.caller))

    async def delete(call: Call) -> Any:
        await personal.delete(call.caller, tokens.parse_delete(bodies.read_object(call.body)))
        return {}

    async def update(call: Call) -> Any:
        comment = tokens.parse_update(bodies.read_object(call.body))
        await personal.set_comment(call.caller, call.path["id"], comment)
        return {}

    routes.add("POST", "/api/2.0/token/create", "tokens.create", create)
    routes.add("GET", "/api/2.0/token/list", "tokens.list", list_own)
    routes.add("POST", "/api/2.0/token/delete", "tokens.delete", delete)
    routes.add("PATCH", "/api/2.0/token/{id}", "tokens.update", update)


def add_token_management(routes: Routes, management: TokenManagement) -> None:
    def shown(owned: OwnedToken) -> dict[str, Any]:
        return tokens.render_managed_token(owned.token, owned.owner)

    async def create(call: Call) -> Any:
        name, comment, lifetime_s = tokens.parse_create_on_behalf(bodies.read_object(call.body))
        text, owned = await management.create_for(name, comment, lifetime_s)
        return Answer({"token_value": text, "token_info": shown(owned)}, headers=_UNCACHED)

    async def list_all(call: Call) -> Any:
        query = call.query
        found = management.list(owner_id=query.get("created_by_id"), owner_name=query.get("created_by_username"))
        return {"token_infos": [shown(owned) for owned in found]}

    async def get(call: Call) -> Any:
        return {"token_info": shown(management.get(call.path["id"]))}

    async def delete(call: Call) -> Any:
        await management.delete(call.path["id"])
        return {}

    base = "/api/2.0/token-management"
    routes.add("POST", base + "/on-behalf-of/tokens", "token_management.create", create)
    routes.add("GET", base + "/tokens", "token_management.list", list_all)
    routes.add("GET", base + "/tokens/{id}", "token_management.get", get)
    routes.add("DELETE", base + "/tokens/{id}", "token_management.delete", delete)


def add_secrets(routes: Routes, secrets: ClientSecrets) -> None:
    async def create(call: Call) -> Any:
        lifetime_s = tokens.parse_create_secret(bodies.read_object(call.body) if call.body else {})
        return Answer(
            tokens.render_created_secret(*await secrets.create(call.path["id"], lifetime_s)), headers=_UNCACHED
        )

    async def list_all(call: Call) -> Any:
        return tokens.render_secrets(secrets.list(call.path["id"]))

    async def delete(call: Call) -> Any:
        await secrets.delete(call.path["id"], call.path["secret"])
        return {}

    for base in _SECRETS:
        routes.add("POST", base, "client_secrets.create", create)
        routes.add("GET", base, "client_secrets.list", list_all)
        routes.add("DELETE", base + "/{secret}", "client_secrets.delete", delete)
