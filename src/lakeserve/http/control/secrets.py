"""The Secrets API."""

from __future__ import annotations

from typing import Any

from lakeserve.control.secrets import Secrets
from lakeserve.http.control.routes import Answer, Call, Routes
from lakeserve.wire.databricks import bodies
from lakeserve.wire.databricks import secrets as wire

BASE = "/api/2.0/secrets"
_UNCACHED = {"cache-control": "no-store"}


def add(routes: Routes, secrets: Secrets) -> None:
    _add_scopes(routes, secrets)
    _add_values(routes, secrets)
    _add_acls(routes, secrets)


def _add_scopes(routes: Routes, secrets: Secrets) -> None:
    async def create(call: Call) -> Any:
        await secrets.create_scope(call.caller, *wire.parse_create_scope(bodies.read_object(call.body)))
        return {}

    async def list_all(_: Call) -> Any:
        return wire.render_scopes(await secrets.scopes())

    async def delete(call: Call) -> Any:
        await secrets.delete_scope(call.caller, *wire.named(bodies.read_object(call.body), "scope"))
        return {}

    routes.add("POST", BASE + "/scopes/create", "secrets.create_scope", create)
    routes.add("GET", BASE + "/scopes/list", "secrets.list_scopes", list_all)
    routes.add("POST", BASE + "/scopes/delete", "secrets.delete_scope", delete)


def _add_values(routes: Routes, secrets: Secrets) -> None:
    async def put(call: Call) -> Any:
        await secrets.put(call.caller, *wire.parse_put(bodies.read_object(call.body)))
        return {}

    async def get(call: Call) -> Any:
        found = await secrets.get(call.caller, *wire.named(call.query, "scope", "key"))
        return Answer(wire.render_value(*found), headers=_UNCACHED)

    async def list_keys(call: Call) -> Any:
        return wire.render_keys(await secrets.keys(call.caller, *wire.named(call.query, "scope")))

    async def delete(call: Call) -> Any:
        await secrets.delete(call.caller, *wire.named(bodies.read_object(call.body), "scope", "key"))
        return {}

    routes.add("POST", BASE + "/put", "secrets.put", put)
    routes.add("GET", BASE + "/get", "secrets.get", get)
    routes.add("GET", BASE + "/list", "secrets.list", list_keys)
    routes.add("POST", BASE + "/delete", "secrets.delete", delete)


def _add_acls(routes: Routes, secrets: Secrets) -> None:
    async def put(call: Call) -> Any:
        await secrets.grant(call.caller, *wire.parse_put_acl(bodies.read_object(call.body)))
        return {}

    async def get(call: Call) -> Any:
        return wire.render_acl(*await secrets.grant_of(call.caller, *wire.named(call.query, "scope", "principal")))

    async def list_all(call: Call) -> Any:
        return wire.render_acls(await secrets.grants(call.caller, *wire.named(call.query, "scope")))

    async def delete(call: Call) -> Any:
        await secrets.revoke(call.caller, *wire.named(bodies.read_object(call.body), "scope", "principal"))
        return {}

    routes.add("POST", BASE + "/acls/put", "secrets.put_acl", put)
    routes.add("GET", BASE + "/acls/get", "secrets.get_acl", get)
    routes.add("GET", BASE + "/acls/list", "secrets.list_acls", list_all)
    routes.add("POST", BASE + "/acls/delete", "secrets.delete_acl", delete)
