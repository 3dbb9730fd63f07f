"""An agent in the shapes of OpenAI's responses. Logged as code."""

from __future__ import annotations

from collections.abc import Iterator

from mlflow.models import set_model
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentResponse, ResponsesAgentStreamEvent


class Parrot(ResponsesAgent):
    def predict(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:
        text = f"heard {request.input[-1].content}"
        return ResponsesAgentResponse(output=[self.create_text_output_item(text=text, id="m1")])

    def predict_stream(self, request: ResponsesAgentRequest) -> Iterator[ResponsesAgentStreamEvent]:
        said = request.input[-1].content
        for word in ("heard ", said):
            yield ResponsesAgentStreamEvent(**self.create_text_delta(delta=word, item_id="m1"))
        item = self.create_text_output_item(text=f"heard {said}", id="m1")
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=item)


set_model(Parrot())
