"""The calls that run a Gradio app, from inside a page of it. Sections are those of the Gradio fact sheet."""

from __future__ import annotations

import asyncio
import json
import secrets
import string
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from relay.browser.fetch import FormPart
from relay.browser.tab import Response, Tab
from relay.chat.events import Event, Finished
from relay.chat.request import Attachment, FileRef
from relay.errors import SiteChanged, TooLarge
from relay.sites.drivers import finish
from relay.sites.gradio.answer import AnswerView
from relay.sites.gradio.app import App, Plan, update
from relay.sites.gradio.config import Dependency
from relay.sites.gradio.stream import CallReader, QueueReader, refuse

JSON = {"content-type": "application/json"}
CANCEL_S = 3.0


class Calls:
    """An app's API, as a tab reaches it."""

    def __init__(self, tab: Tab, app: App, home: str) -> None:
        """`home`: the app's address, with a slash at its end."""
        self._tab, self._app = tab, app
        self._base = home.rstrip("/") + app.api_prefix

    def __repr__(self) -> str:
        return f"<Calls {self._base}>"

    def address(self, path: str) -> str:
        """Of a route of the API."""
        return f"{self._base}/{path}"

    async def upload(self, attachment: Attachment) -> FileRef:
        """Give the app a file; `extra` is its FileData. Raises TooLarge."""
        limit = self._app.max_file_size
        if limit is not None and len(attachment.data) > limit:
            raise TooLarge(f"{attachment.name} is larger than the {limit} bytes this Gradio app takes.")
        part = FormPart("files", attachment.data, attachment.name, attachment.mime)
        reply = await self._tab.fetch("POST", self.address("upload"), body=[part], timeout_s=300)
        refuse(reply)
        match _json(reply):
            case [str(path)]:
                data: dict[str, object] = {
                    "path": path,
                    "url": self.address(f"file={path}"),
                    "orig_name": attachment.name,
                    "size": len(attachment.data),
                    "mime_type": attachment.mime,
                    "meta": {"_type": "gradio.FileData"},
                }
                return FileRef(path, attachment.name, attachment.mime, len(attachment.data), attachment.kind, data)
        raise SiteChanged("a list with the path of the upload", reply.text, refused=True)

    async def by_name(self, plan: Plan, values: dict[int, Any], view: AnswerView) -> AsyncGenerator[Event, None]:
        """Section A: one POST that starts, one GET that streams; the event's id is also its session."""
        (step,) = plan.steps
        visible = [i for i in step.inputs if self._app.version.startswith(("4", "5")) or self._app.kind(i) != "state"]
        address = self.address(f"call/{step.api_name}")
        event = await self._start(address, {"data": [values[i] for i in visible]})
        follow = self._follow(f"{address}/{event}", CallReader(view), step, event, session=event)
        async with aclosing(follow) as items:
            async for item in items:
                yield item

    async def by_queue(self, plan: Plan, values: dict[int, Any], view: AnswerView) -> AsyncGenerator[Event, None]:
        """Section B: the page's own calls, step by step."""
        session = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(11))
        trigger = next((i for i, _ in plan.steps[0].targets), None)
        for step in plan.steps:
            body: dict[str, Any] = {"data": [values[i] for i in step.inputs], "event_data": None}
            body |= {"fn_index": step.id, "trigger_id": trigger, "session_hash": session}
            slot = step.outputs.index(plan.answer.id) if plan.answer.id in step.outputs else None
            final = step is plan.steps[-1]
            if step.queue is False:
                data = await self._predict(body)
                for event in (view.close if final else view.feed)(data[slot]) if slot is not None else ():
                    yield event
            else:
                whole = plan.direct and self._app.objects
                reader = QueueReader(view, slot, final=final, diffs=not whole, trusted=not plan.direct)
                join = self.address("queue/join")
                event_id = await self._start(join, body | ({"simple_format": True} if whole else {}))
                address = self.address(f"queue/data?session_hash={session}")
                follow = self._follow(address, reader, step, event_id, session=session)
                async with aclosing(follow) as events:
                    async for event in events:
                        if final or not isinstance(event, Finished):
                            yield event
                data = reader.data
            update(values, step.outputs, data)

    async def _start(self, address: str, body: dict[str, Any]) -> str:
        """Put a call in the app's queue; its event id."""
        reply = await self._tab.fetch("POST", address, headers=JSON, body=json.dumps(body, ensure_ascii=False))
        refuse(reply)
        match _json(reply):
            case {"event_id": str(event)}:
                return event
        raise SiteChanged("an event_id", reply.text)

    async def _predict(self, body: dict[str, Any]) -> list[Any]:
        """Run a step that does not queue; its outputs."""
        reply = await self._tab.fetch(
            "POST",
            self.address("run/predict"),
            headers=JSON,
            body=json.dumps(body, ensure_ascii=False),
            timeout_s=300,
        )
        refuse(reply)
        match _json(reply):
            case {"data": list(data)}:
                return data
        raise SiteChanged("the outputs of an event", reply.text)

    async def _follow(
        self,
        address: str,
        reader: CallReader | QueueReader,
        step: Dependency,
        event: str,
        *,
        session: str,
    ) -> AsyncGenerator[Event, None]:
        """Read the stream of one event to its end; who leaves early stops the app's function."""
        try:
            async with self._tab.stream("GET", address) as answer:
                await answer.raise_for_status(sends_prompt=False)
                answer.expect("text/event-stream")
                async for item in reader.read(answer):
                    yield item
                # The stream must be over before the session's next event, or the server would mix them.
                await answer.read()
        except (GeneratorExit, asyncio.CancelledError):
            body = {"event_id": event, "session_hash": session, "fn_index": step.id}
            call = self._tab.fetch("POST", self.address("cancel"), headers=JSON, body=json.dumps(body))
            await finish(call, CANCEL_S, "the app was not told to stop")
            raise


def _json(reply: Response) -> Any:
    try:
        return json.loads(reply.body)
    except ValueError:
        raise SiteChanged("JSON", f"{reply.text[:200]!r} at {reply.url}", refused=True) from None
