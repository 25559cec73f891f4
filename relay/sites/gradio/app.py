"""What a Gradio app is, as its `/config` tells: components, events, and which of them make a chat.

Sections are those of the Gradio fact sheet. All of this is pure: the site module does the calls.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field

from relay.browser.screen import Candidate
from relay.chat.request import FileRef
from relay.errors import BadRequest, SiteChanged
from relay.sites.answered import Answered, read
from relay.sites.base import ModelSpec
from relay.sites.gradio.config import Component, Dependency

BOXES = ("textbox", "multimodaltextbox")
SHOWN = ("chatbot", "markdown", "textbox", "json", "html", "code", "label")
"""Kinds of output that can hold an answer, the likeliest first."""
CHOICES = ("dropdown", "radio")
MODEL_LABEL = re.compile(r"\bmodels?\b|\bllms?\b|\bcheckpoints?\b|模型", re.IGNORECASE)
STATEFUL = ("state", "browserstate")


def base_address(url: str) -> str:
    """The app's own address: `huggingface.co/spaces/<owner>/<name>` is only a frame around it."""
    parts = urlsplit(url if "://" in url else f"https://{url}")
    if parts.hostname in ("huggingface.co", "hf.co") and (space := re.match(r"/spaces/([^/]+)/([^/]+)", parts.path)):
        return f"https://{re.sub(r'[._ ]', '-', f'{space[1]}-{space[2]}'.lower())}.hf.space/"
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a chat is run: events in order, and the component that shows the answer."""

    steps: tuple[Dependency, ...]
    box: Component
    """Where the message goes in."""
    answer: Component
    direct: bool
    """A ChatInterface's API endpoint: one step, and the function's own values, untouched."""


class App(Answered):
    """`/config`, as far as it matters here ("Version matters")."""

    version: str = ""
    api_prefix: str = ""
    protocol: str = "sse_v3"
    mode: str = "blocks"
    title: str = ""
    space_id: str | None = None
    username: str | None = None
    max_file_size: int | None = None
    components: list[Component]
    dependencies: list[Dependency] = Field(min_length=1)
    objects: bool = False
    """Learned from an answer: the function yields message objects, whose diffs are not to be trusted."""

    @classmethod
    def parse(cls, text: str) -> App:
        """Validate `/config`. Raises SiteChanged, also for protocols older than sse_v2 (whose streams differ)."""
        app = read(cls, text, "the config of a Gradio app", refused=True)
        if not re.fullmatch(r"sse_v[23](\.\d+)?", app.protocol):
            raise SiteChanged("Gradio 4.x or newer (protocol sse_v2, sse_v3)", app.protocol, refused=True)
        return app

    def component(self, number: int) -> Component:
        """The component by id. Raises SiteChanged."""
        for component in self.components:
            if component.id == number:
                return component
        raise SiteChanged("a component of the config", f"id {number}", refused=True)

    def kind(self, number: int) -> str:
        """The type of a component."""
        return self.component(number).type

    def plan(self) -> Plan:
        """The way the queue is used: the chat's API endpoint, else the page's own chain of events.

        Raises SiteChanged where the app has nothing that looks like a chat.
        """
        return self.endpoint() or self._chain()

    def endpoint(self) -> Plan | None:
        """A ChatInterface's named endpoint, `/chat` on 4 and 5, the function's own name on 6 (section A)."""
        if self.mode != "chat_interface":
            return None
        for event in self.dependencies:
            box = self._box(event)
            starts = event.trigger_after is None and "click" in event.triggers
            if box is None or not starts or not event.callable_by_name or not event.outputs or event.types.cancel:
                continue
            if box.id == event.inputs[0] and self.kind(event.outputs[0]) in ("json", "textbox") and event.queue:
                return Plan((event,), box, self.component(event.outputs[0]), direct=True)
        return None

    def _box(self, event: Dependency) -> Component | None:
        boxes = (self.component(i) for i in event.inputs)
        return next((box for box in boxes if box.type in BOXES and box.props.get("interactive") is not False), None)

    def _chain(self) -> Plan:
        """The send button's or text box's event with its `.then` steps, up to the last that shows the answer."""
        plans = [plan for event in self.dependencies for plan in self._plans(event)]
        if not plans:
            raise SiteChanged("a text box whose event leads to an answer", f"none in {self!r}", refused=True)
        return min(plans, key=lambda plan: (SHOWN.index(plan.answer.type), "submit" not in plan.steps[0].triggers))

    def _plans(self, event: Dependency) -> Iterator[Plan]:
        if event.trigger_after is not None or not event.triggers & {"submit", "click"}:
            return
        steps = [step for step in self._after(event) if step.backend_fn and not step.types.cancel]
        # A form (gr.Interface) reads its text box in the second step; the first only swaps buttons.
        box = next((box for step in steps[:2] if (box := self._box(step)) is not None), None)
        if box is None:
            return
        shown = [i for step in steps for i in step.outputs if i != box.id and self.kind(i) in SHOWN]
        if shown:
            answer = min(shown, key=lambda i: SHOWN.index(self.kind(i)))
            last = max(n for n, step in enumerate(steps) if answer in step.outputs)
            yield Plan(tuple(steps[: last + 1]), box, self.component(answer), direct=False)

    def _after(self, event: Dependency) -> Iterator[Dependency]:
        waiting = deque([event])
        while waiting:
            step = waiting.popleft()
            yield step
            waiting.extend(later for later in self.dependencies if later.trigger_after == step.id)

    def picker(self, plan: Plan) -> Component | None:
        """The dropdown or radio that chooses the model, if the plan's events read one (section "Models")."""
        inputs = (self.component(i) for step in plan.steps for i in step.inputs)
        for component in inputs:
            label = str(component.props.get("label") or "")
            if component.type in CHOICES and component.choices and MODEL_LABEL.search(label):
                return component
        return None

    def models(self, files: bool) -> list[ModelSpec]:
        """The app itself as a model without a key, and each choice of its model picker."""
        picker = self.picker(self.plan())
        specs = [ModelSpec("", self.title or "Gradio app", default=True, images=files, files=files)]
        for label, value in picker.choices if picker else ():
            specs.append(ModelSpec(str(value), label, images=files, files=files))
        return specs

    def on_screen(self) -> dict[str, list[Candidate]]:
        """Where the page of a Blocks app has its text box and send button; those of a ChatInterface never differ."""
        if self.mode == "chat_interface":
            return {}
        chain = self._chain()
        buttons = (
            i
            for e in self.dependencies
            for plan in self._plans(e)
            for i, name in e.targets
            if name == "click" and plan.box is chain.box
        )
        found: dict[str, list[Candidate]] = {"input": [], "send": []}
        placeholder = chain.box.props.get("placeholder")
        for at in self._marks(chain.box):
            found["input"].append(Candidate(f"{at} textarea"))
        if placeholder:
            found["input"].append(Candidate(f"textarea[placeholder={json.dumps(placeholder)}]"))
        for button in buttons:
            if button is not None and (component := self.component(button)).type == "button":
                found["send"] += [Candidate(f"button{at}") for at in self._marks(component)]
                if label := str(component.props.get("value") or ""):
                    found["send"].append(Candidate("button", label))
        return found

    def _marks(self, component: Component) -> list[str]:
        """Its element's id: the author's own, or (Gradio 4 and 5) one that is made of the component's."""
        own = component.props.get("elem_id")
        return [f"[id={json.dumps(own)}]"] if own else [f"#component-{component.id}"]

    def values(self, plan: Plan, prompt: str, files: Sequence[FileRef], model: str) -> dict[int, Any]:
        """The value of every component as the page would hold it when send is pressed. Raises BadRequest."""
        values = {c.id: None if c.type in STATEFUL else c.props.get("value") for c in self.components}
        if plan.box.type == "multimodaltextbox":
            values[plan.box.id] = {"text": prompt, "files": [dict(file.extra) for file in files]}
        elif files:
            raise BadRequest("This Gradio app takes no files.")
        else:
            values[plan.box.id] = prompt
        if model:
            picker = self.picker(plan)
            found = [value for _, value in picker.choices if str(value) == model] if picker else []
            if not found or picker is None:
                raise BadRequest(f"This Gradio app has no model {model!r}.", param="model")
            values[picker.id] = found[0]
        return values

    def __repr__(self) -> str:
        return f"<App {self.mode} on Gradio {self.version}: {len(self.dependencies)} events>"


def update(values: dict[int, Any], outputs: Sequence[int], data: Sequence[Any]) -> None:
    """Take over what a step returned; `{"__type__": "update"}` changes a value only if it has one."""
    for number, value in zip(outputs, data, strict=False):
        if isinstance(value, Mapping) and value.get("__type__") == "update":
            if "value" in value:
                values[number] = value["value"]
        else:
            values[number] = value
