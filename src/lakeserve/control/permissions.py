"""The use cases of access lists. They go by the endpoint's id, which outlives the endpoint: its list can still be read.

A change is stored and then handed to the endpoint's reconciler, which publishes it to the gateways at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from lakeserve.control.credentials import Credentials
from lakeserve.control.operations import level_of
from lakeserve.control.reconciler import Reconcilers
from lakeserve.domain.endpoint import Endpoint
from lakeserve.domain.errors import PermissionDenied, ResourceDoesNotExist
from lakeserve.domain.grants import Grant, shown, to_access_list
from lakeserve.domain.principal import AccessList, Principal
from lakeserve.ports.store import EndpointStore


class Permissions:
    def __init__(self, store: EndpointStore, credentials: Credentials, reconcilers: Reconcilers) -> None:
        self._store = store
        self._credentials = credentials
        self._reconcilers = reconcilers
        self._one_at_a_time = asyncio.Lock()

    async def get(self, caller: Principal, endpoint_id: str) -> list[Grant]:
        """The direct grants. Administrators may still read those of an endpoint that has been deleted.

        :raises ResourceDoesNotExist: no endpoint has or had the id.
        """
        endpoint = await self._store.get(endpoint_id)
        access = await self._store.access(endpoint_id)
        if endpoint is not None:
            _check(caller, endpoint, access, "permissions.get")
        elif access == AccessList() or not caller.is_admin:
            raise _missing(endpoint_id)
        return self._shown(access)

    async def check_levels(self, caller: Principal, endpoint_id: str) -> None:
        """Whether the caller may know which levels there are."""
        await self._find(caller, endpoint_id, "permissions.levels")

    async def replace(self, caller: Principal, endpoint_id: str, grants: Sequence[Grant]) -> list[Grant]:
        """Make these the direct grants."""
        return await self._change(caller, endpoint_id, "permissions.set", grants, lambda _, given: given)

    async def merge(self, caller: Principal, endpoint_id: str, grants: Sequence[Grant]) -> list[Grant]:
        """Add these to the direct grants, in the place of those that the same principals have."""
        return await self._change(caller, endpoint_id, "permissions.update", grants, AccessList.merged)

    async def _change(
        self,
        caller: Principal,
        endpoint_id: str,
        operation: str,
        grants: Sequence[Grant],
        combine: Callable[[AccessList, AccessList], AccessList],
    ) -> list[Grant]:
        """
        :raises ResourceDoesNotExist: no such endpoint, or nobody has a name that is granted something.
        """
        async with self._one_at_a_time:
            endpoint, access = await self._find(caller, endpoint_id, operation)
            access = combine(access, to_access_list(grants, self._credentials.directory))
            await self._store.set_access(endpoint_id, access)
        self._reconcilers.hint(endpoint)
        return self._shown(access)

    async def _find(self, caller: Principal, endpoint_id: str, operation: str) -> tuple[Endpoint, AccessList]:
        endpoint = await self._store.get(endpoint_id)
        if endpoint is None:
            raise _missing(endpoint_id)
        access = await self._store.access(endpoint_id)
        _check(caller, endpoint, access, operation)
        return endpoint, access

    def _shown(self, access: AccessList) -> list[Grant]:
        return list(shown(access, self._credentials.directory))


def _check(caller: Principal, endpoint: Endpoint, access: AccessList, operation: str) -> None:
    needed = level_of(operation)
    if not access.allows(caller, needed):
        raise PermissionDenied(f"User {caller.name} does not have {needed} permission on endpoint {endpoint.name}.")


def _missing(endpoint_id: str) -> ResourceDoesNotExist:
    return ResourceDoesNotExist(f"Serving endpoint with id '{endpoint_id[:64]}' does not exist.")
