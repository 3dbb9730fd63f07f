"""The OpenAI client's list of models: the endpoints that the caller may query. Queries themselves never come here."""

from __future__ import annotations

from typing import Any

from lakeserve.control.endpoints import Endpoints
from lakeserve.domain.principal import Level
from lakeserve.http.control.routes import Call, Routes
from lakeserve.wire import openai


def add(routes: Routes, endpoints: Endpoints) -> None:
    async def list_models(call: Call) -> Any:
        return openai.render_models(await endpoints.list(call.caller, Level.CAN_QUERY))

    async def get_model(call: Call) -> Any:
        return openai.render_model(await endpoints.authorised(call.caller, call.path["name"], "models.get"))

    routes.add("GET", "/serving-endpoints/models", "models.list", list_models)
    routes.add("GET", "/serving-endpoints/models/{name}", "models.get", get_model)
