"""SCIM: users, service principals and groups."""

from __future__ import annotations

from typing import Any

from lakeserve.control.directory import DirectoryChanges
from lakeserve.domain.directory import Account, AccountFields, Group, GroupFields
from lakeserve.domain.principal import Kind
from lakeserve.http.control.routes import Answer, Call, Routes
from lakeserve.wire.databricks import bodies, scim
from lakeserve.wire.databricks.scim_list import project, render_list
from lakeserve.wire.databricks.scim_patch import patched

BASE = "/api/2.0/preview/scim/v2"
CREATED, NO_CONTENT = 201, 204


def add(routes: Routes, changes: DirectoryChanges) -> None:
    async def me(call: Call) -> Any:
        return scim.render_me(call.caller)

    routes.add("GET", BASE + "/Me", "scim.me", me)
    _add_accounts(routes, changes, Kind.USER, "/Users", "users")
    _add_accounts(routes, changes, Kind.SERVICE_PRINCIPAL, "/ServicePrincipals", "service_principals")
    _add_groups(routes, changes)


def _add_accounts(routes: Routes, changes: DirectoryChanges, kind: Kind, folder: str, family: str) -> None:
    def shown(account: Account) -> dict[str, Any]:
        return scim.render_account(account, changes.directory)

    async def list_all(call: Call) -> Any:
        accounts = changes.directory.accounts.values()
        return render_list((shown(account) for account in accounts if account.kind is kind), call.query)

    async def create(call: Call) -> Any:
        fields = scim.parse_account(kind, bodies.read_object(call.body))
        return Answer(shown(await changes.create_account(kind, fields)), CREATED)

    async def get(call: Call) -> Any:
        return project(shown(changes.account(kind, call.path["id"])), call.query)

    async def replace(call: Call) -> Any:
        fields = scim.parse_account(kind, bodies.read_object(call.body))
        return shown(await changes.change_account(kind, call.path["id"], lambda _: fields))

    async def patch(call: Call) -> Any:
        body = bodies.read_object(call.body)

        def edit(account: Account) -> AccountFields:
            return scim.parse_account(kind, patched(scim.editable_account(account, changes.directory), body))

        return shown(await changes.change_account(kind, call.path["id"], edit))

    async def delete(call: Call) -> Any:
        await changes.delete_account(kind, call.path["id"])
        return Answer(None, NO_CONTENT)

    one = BASE + folder + "/{id}"
    routes.add("GET", BASE + folder, f"{family}.list", list_all)
    routes.add("POST", BASE + folder, f"{family}.create", create)
    routes.add("GET", one, f"{family}.get", get)
    routes.add("PUT", one, f"{family}.replace", replace)
    routes.add("PATCH", one, f"{family}.patch", patch)
    routes.add("DELETE", one, f"{family}.delete", delete)


def _add_groups(routes: Routes, changes: DirectoryChanges) -> None:
    def shown(group: Group) -> dict[str, Any]:
        return scim.render_group(group, changes.directory)

    async def list_all(call: Call) -> Any:
        return render_list((shown(group) for group in changes.directory.groups.values()), call.query)

    async def create(call: Call) -> Any:
        return Answer(shown(await changes.create_group(scim.parse_group(bodies.read_object(call.body)))), CREATED)

    async def get(call: Call) -> Any:
        return project(shown(changes.group(call.path["id"])), call.query)

    async def replace(call: Call) -> Any:
        fields = scim.parse_group(bodies.read_object(call.body))
        return shown(await changes.change_group(call.path["id"], lambda _: fields))

    async def patch(call: Call) -> Any:
        body = bodies.read_object(call.body)

        def edit(group: Group) -> GroupFields:
            return scim.parse_group(patched(scim.editable_group(group), body))

        return shown(await changes.change_group(call.path["id"], edit))

    async def delete(call: Call) -> Any:
        await changes.delete_group(call.path["id"])
        return Answer(None, NO_CONTENT)

    one = BASE + "/Groups/{id}"
    routes.add("GET", BASE + "/Groups", "groups.list", list_all)
    routes.add("POST", BASE + "/Groups", "groups.create", create)
    routes.add("GET", one, "groups.get", get)
    routes.add("PUT", one, "groups.replace", replace)
    routes.add("PATCH", one, "groups.patch", patch)
    routes.add("DELETE", one, "groups.delete", delete)
