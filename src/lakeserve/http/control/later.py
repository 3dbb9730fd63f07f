"""Routes of the API whose capability is not there: they say so with 501, after every check that the capability would make first.

A caller without a credential gets 401, one who names an endpoint that is not there 404, and one without the right 403, so that
nothing is learned here that the other routes would not tell.
"""

from __future__ import annotations

from typing import Any

from lakeserve.control.endpoints import Endpoints
from lakeserve.domain.errors import NotImplementedYet
from lakeserve.domain.requested import Capability
from lakeserve.http.control.endpoints import BASE
from lakeserve.http.control.routes import Call, Handler, Routes

_OF_AN_ENDPOINT = (
    ("GET", BASE + "/{name}/events", "endpoints.events", Capability.EVENTS),
    ("PUT", BASE + "/pt/{name}/config", "endpoints.update_provisioned", Capability.PROVISIONED_ENDPOINTS),
)
_OTHERS = (
    ("POST", BASE + "/pt", "endpoints.create_provisioned", Capability.PROVISIONED_ENDPOINTS),
    (
        "GET",
        BASE + "/get-model-optimization-info/{model}/{version}",
        "models.optimization_info",
        Capability.MODEL_OPTIMIZATION,
    ),
    ("POST", "/api/2.0/external-function", "external_function", Capability.EXTERNAL_FUNCTIONS),
    *(
        ("POST", f"/ai-gateway/{dialect}/v1/{what}", "ai_gateway.ask", Capability.AI_GATEWAY_ROUTES)
        for dialect in ("mlflow", "openai")
        for what in ("chat/completions", "embeddings", "responses")
    ),
)


def add(routes: Routes, endpoints: Endpoints) -> None:
    def of_an_endpoint(operation: str, missing: Capability) -> Handler:
        async def answer(call: Call) -> Any:
            await endpoints.authorised(call.caller, call.path["name"], operation)
            raise NotImplementedYet(missing.value)

        return answer

    def other(missing: Capability) -> Handler:
        async def answer(call: Call) -> Any:
            raise NotImplementedYet(missing.value)

        return answer

    for method, path, operation, missing in _OF_AN_ENDPOINT:
        routes.add(method, path, operation, of_an_endpoint(operation, missing))
    for method, path, operation, missing in _OTHERS:
        routes.add(method, path, operation, other(missing))
