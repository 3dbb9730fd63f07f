"""An agent in the shapes of OpenAI's responses. Logged as code."""

from __future__ import annotations

from collections.abc import Iterator

from mlflow.models import set_model
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentResponse, ResponsesAgentStreamEvent


class Parrot(ResponsesAgent):
    def predict(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:
        text = f"heard {_said(request)}"
        return ResponsesAgentResponse(output=[self.create_text_output_item(text=text, id="m1")])

    def predict_stream(self, request: ResponsesAgentRequest) -> Iterator[ResponsesAgentStreamEvent]:
        said = _said(request)
        for word in ("heard ", said):
            yield ResponsesAgentStreamEvent(**self.create_text_delta(delta=word, item_id="m1"))
        item = self.create_text_output_item(text=f"heard {said}", id="m1")
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=item)


def _said(request: ResponsesAgentRequest) -> str:
    """The last words: clients give them as one text or in parts."""
    content = request.input[-1].content
    if isinstance(content, str):
        return content
    return "".join(part["text"] if isinstance(part, dict) else part.text for part in content)


set_model(Parrot())
