"""References to secrets in the environment of served entities: checked when a config is accepted, resolved when a worker starts.

Both times by the rights of whoever made the config: the first so that nobody serves a secret that they may not read, the second
because rights can be taken away. What is resolved is given to the starting worker and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lakeserve.control.credentials import Credentials
from lakeserve.control.secrets import Secrets
from lakeserve.domain.endpoint import ServedEntity
from lakeserve.domain.errors import LakeserveError
from lakeserve.domain.principal import Principal
from lakeserve.domain.requested import MAX_VARIABLE_BYTES
from lakeserve.domain.secrets import Reference, Secret, references
from lakeserve.ports.secrets import SecretUnusable
from lakeserve.ports.store import StoreUnavailable


class References:
    def __init__(self, secrets: Secrets, credentials: Credentials) -> None:
        self._secrets = secrets
        self._credentials = credentials

    async def check(self, caller: Principal, entities: Iterable[ServedEntity]) -> None:
        """
        :raises PermissionDenied: the caller may not read a scope that an entity refers to.
        :raises ResourceDoesNotExist: a scope or secret does not exist.
        """
        for entity in entities:
            for reference in references(entity.environment_vars).values():
                await self._secrets.check_readable(caller, reference.scope, reference.key)

    async def resolve(self, entity: ServedEntity) -> Mapping[str, str]:
        """A :data:`~lakeserve.ports.secrets.Resolve`."""
        named = references(entity.environment_vars)
        if not named:
            return entity.environment_vars
        creator = self._credentials.directory.principal(entity.creator_id)
        if creator is None:
            raise SecretUnusable(
                f"{entity.creator}, whose rights to secrets this config uses, is not an active account any more. "
                "Update the config as somebody who may read them."
            )
        values = {variable: await self._value(creator, variable, named[variable]) for variable in named}
        return {**entity.environment_vars, **values}

    async def _value(self, creator: Principal, variable: str, reference: Reference) -> str:
        where = f"Environment variable {variable} refers to secret {reference.key} in scope {reference.scope}"
        try:
            _, secret = await self._secrets.get(creator, reference.scope, reference.key)
        except LakeserveError as error:
            raise SecretUnusable(f"{where}, which cannot be used: {error.message}") from None
        except StoreUnavailable:
            raise SecretUnusable(f"{where}, which cannot be read at the moment.") from None
        return _text(secret, where)


def _text(secret: Secret, where: str) -> str:
    """What the kernel takes for a variable's value."""
    value = secret.reveal()
    if len(value) > MAX_VARIABLE_BYTES:
        raise SecretUnusable(f"{where}, which is longer than the {MAX_VARIABLE_BYTES} bytes of a variable.")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise SecretUnusable(f"{where}, which is not UTF-8 text.") from None
    if "\0" in text:
        raise SecretUnusable(f"{where}, which contains a NUL character.")
    return text
