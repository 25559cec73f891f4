"""Any Gradio app, 4.x to 6.x, by its base address. Sections are those of the Gradio fact sheet.

Two ways to its API, both from inside a page of the app:
- `fetch:queue`, the calls the page itself makes; of a ChatInterface only the one of its API endpoint, of any
  other app the chain of events behind its send button. Text comes as diffs: linear in its length.
- `fetch:call`, the named endpoint. Cumulative, so quadratic; for ChatInterfaces only.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import string
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any
from urllib.parse import urlencode

from relay.browser.chromium import Context
from relay.browser.fetch import FormPart
from relay.browser.screen import Candidate, Screen
from relay.browser.tab import Response, Tab
from relay.chat.events import Event, Finished
from relay.chat.request import Attachment, FileRef, Turn
from relay.errors import BadRequest, LoginNeeded, SiteChanged, TooLarge
from relay.sites.base import Capabilities, Login, LoginState, ModelSpec, ScreenRecipe, Site
from relay.sites.drivers import finish
from relay.sites.gradio_answer import AnswerView, count
from relay.sites.gradio_app import App, Dependency, Plan, base_address, update
from relay.sites.gradio_stream import CallReader, QueueReader, refuse

JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
TIDIED = ("chatbot", "markdown")
"""Components that alter text (see gradio_answer)."""
CANCEL_S = 3.0
READY_S = 20.0


class Gradio(Site):
    """A Gradio app; `base_url` of the account says which."""

    id = "gradio"
    name = "Gradio"
    address = "http://127.0.0.1:7860/"
    drivers = ("fetch:queue", "fetch:call", "screen", "dom")
    models = (ModelSpec("", "Gradio app", default=True, images=True, files=True),)
    capabilities = Capabilities(images=True, files=True)
    needs_base_url = True
    evidence = "2026-11"
    # The page draws its last words after its buttons say it is done, on a busy machine by a second.
    screen = ScreenRecipe(
        answer="**/queue/data", reader=QueueReader, upload="**/upload", spread=True, settle_ms=1500, dedented=True
    )

    _app: App | None = None

    @property
    def home(self) -> str:
        """The app's address, with a slash at its end; a Space's page becomes the app inside it."""
        return base_address(self.config.base_url or self.address)

    async def open(self, tab: Tab) -> None:
        """Enough of the app's origin to call its API; the page itself is loaded for the screen only."""
        await tab.goto(self.home + "config")

    async def refresh(self, tab: Tab) -> None:
        """Nothing renews a Gradio login by itself; forget what was known."""
        self._app = None
        await self.open(tab)

    # Login

    async def probe(self, tab: Tab) -> Login:
        """`/config` is what tells a live login: 401 without one. Raises SiteUnavailable for a Space asleep."""
        self._app = None
        try:
            app = await self._known(tab)
        except LoginNeeded as error:
            return Login(LoginState.DEAD, detail=error.message)
        return Login(LoginState.LIVE, label=app.username or app.space_id or app.title or "public app")

    async def adopt(self, context: Context, token: str) -> None:
        """Turn `user:password` into the app's cookies. Raises LoginNeeded where the app refuses them."""
        username, colon, password = token.partition(":")
        if not colon:
            raise BadRequest("A Gradio login is written user:password.")
        tab = await context.tab()
        try:
            await self.open(tab)
            form = urlencode({"username": username, "password": password})
            reply = await tab.fetch("POST", self.home + "login", headers=FORM, body=form)
        finally:
            await tab.close()
        if reply.status == 400:
            raise LoginNeeded("The app does not accept this user name and password.")
        refuse(reply)

    # Models

    async def catalogue(self, tab: Tab) -> Sequence[ModelSpec]:
        """The app, and the choices of its model picker where it has one."""
        app = await self._known(tab)
        return app.models(files=app.plan().box.type == "multimodaltextbox")

    async def _known(self, tab: Tab) -> App:
        """The app's config; kept until something about it turns out wrong."""
        if self._app is None:
            reply = await tab.fetch("GET", self.home + "config")
            refuse(reply)
            self._app = App.parse(reply.text)
        return self._app

    # Files

    async def upload(self, tab: Tab, attachment: Attachment) -> FileRef:
        """Give the app a file; `extra` is its FileData. Raises TooLarge."""
        app = await self._known(tab)
        if app.max_file_size is not None and len(attachment.data) > app.max_file_size:
            raise TooLarge(f"{attachment.name} is larger than the {app.max_file_size} bytes this Gradio app takes.")
        part = FormPart("files", attachment.data, attachment.name, attachment.mime)
        reply = await tab.fetch("POST", self._api(app, "upload"), body=[part], timeout_s=300)
        refuse(reply)
        match _json(reply):
            case [str(path)]:
                data: dict[str, object] = {
                    "path": path,
                    "url": self._api(app, f"file={path}"),
                    "orig_name": attachment.name,
                    "size": len(attachment.data),
                    "mime_type": attachment.mime,
                    "meta": {"_type": "gradio.FileData"},
                }
                return FileRef(path, attachment.name, attachment.mime, len(attachment.data), attachment.kind, data)
        raise SiteChanged("a list with the path of the upload", reply.text, refused=True)

    # Chat

    async def chat(self, tab: Tab, turn: Turn, driver: str) -> AsyncGenerator[Event, None]:
        """Run a turn in a session of its own: the prompt carries the whole conversation."""
        app = await self._known(tab)
        by_name = driver == "fetch:call"
        plan = app.endpoint() if by_name else app.plan()
        if plan is None:
            raise SiteChanged("a ChatInterface with a named endpoint", repr(app), refused=True)
        if turn.attachments and plan.box.type != "multimodaltextbox":
            raise BadRequest("This Gradio app takes no files.")
        files = [await self.upload(tab, attachment) for attachment in turn.attachments]
        values = app.values(plan, turn.prompt, files, turn.model)
        view = AnswerView(
            tidied=not plan.direct and plan.answer.type in TIDIED,
            greeting=0 if plan.direct else count(values[plan.answer.id]),
            files=self._api(app, "file="),
        )
        run = self._call if by_name else self._queue
        async with aclosing(run(tab, app, plan, values, view)) as events:
            async for event in events:
                yield event
        app.objects = app.objects or (plan.direct and view.objects)

    async def _call(
        self, tab: Tab, app: App, plan: Plan, values: dict[int, Any], view: AnswerView
    ) -> AsyncGenerator[Event, None]:
        """Section A: one POST that starts, one GET that streams; the event's id is also its session."""
        (step,) = plan.steps
        visible = [i for i in step.inputs if app.version.startswith(("4", "5")) or app.kind(i) != "state"]
        address = self._api(app, f"call/{step.api_name}")
        event = await self._start(tab, address, {"data": [values[i] for i in visible]})
        follow = self._follow(tab, app, f"{address}/{event}", CallReader(view), step, event, session=event)
        async with aclosing(follow) as items:
            async for item in items:
                yield item

    async def _queue(
        self, tab: Tab, app: App, plan: Plan, values: dict[int, Any], view: AnswerView
    ) -> AsyncGenerator[Event, None]:
        """Section B: the page's own calls, step by step."""
        session = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(11))
        trigger = next((i for i, _ in plan.steps[0].targets), None)
        for step in plan.steps:
            body: dict[str, Any] = {"data": [values[i] for i in step.inputs], "event_data": None}
            body |= {"fn_index": step.id, "trigger_id": trigger, "session_hash": session}
            slot = step.outputs.index(plan.answer.id) if plan.answer.id in step.outputs else None
            final = step is plan.steps[-1]
            if step.queue is False:
                data = await self._predict(tab, app, body)
                for event in (view.close if final else view.feed)(data[slot]) if slot is not None else ():
                    yield event
            else:
                whole = plan.direct and app.objects
                reader = QueueReader(view, slot, final=final, diffs=not whole, trusted=not plan.direct)
                join = self._api(app, "queue/join")
                event_id = await self._start(tab, join, body | ({"simple_format": True} if whole else {}))
                address = self._api(app, f"queue/data?session_hash={session}")
                follow = self._follow(tab, app, address, reader, step, event_id, session=session)
                async with aclosing(follow) as events:
                    async for event in events:
                        if final or not isinstance(event, Finished):
                            yield event
                data = reader.data
            update(values, step.outputs, data)

    async def _start(self, tab: Tab, address: str, body: dict[str, Any]) -> str:
        """Put a call in the app's queue; its event id."""
        reply = await tab.fetch("POST", address, headers=JSON, body=json.dumps(body, ensure_ascii=False))
        self._accept(reply)
        match _json(reply):
            case {"event_id": str(event)}:
                return event
        raise SiteChanged("an event_id", reply.text)

    async def _predict(self, tab: Tab, app: App, body: dict[str, Any]) -> list[Any]:
        """Run a step that does not queue; its outputs."""
        reply = await tab.fetch(
            "POST",
            self._api(app, "run/predict"),
            headers=JSON,
            body=json.dumps(body, ensure_ascii=False),
            timeout_s=300,
        )
        self._accept(reply)
        match _json(reply):
            case {"data": list(data)}:
                return data
        raise SiteChanged("the outputs of an event", reply.text)

    def _accept(self, reply: Response) -> None:
        if reply.status >= 400:
            self._app = None  # perhaps it is another app by now
        refuse(reply)

    async def _follow(
        self,
        tab: Tab,
        app: App,
        address: str,
        reader: CallReader | QueueReader,
        step: Dependency,
        event: str,
        *,
        session: str,
    ) -> AsyncGenerator[Event, None]:
        """Read the stream of one event to its end; who leaves early stops the app's function."""
        try:
            async with tab.stream("GET", address) as answer:
                await answer.raise_for_status(sends_prompt=False)
                answer.expect("text/event-stream")
                async for item in reader.read(answer):
                    yield item
                # The stream must be over before the session's next event, or the server would mix them.
                await answer.read()
        except (GeneratorExit, asyncio.CancelledError):
            body = {"event_id": event, "session_hash": session, "fn_index": step.id}
            call = tab.fetch("POST", self._api(app, "cancel"), headers=JSON, body=json.dumps(body))
            await finish(call, CANCEL_S, "the app was not told to stop")
            raise

    def _api(self, app: App, path: str) -> str:
        return f"{self.home.rstrip('/')}{app.api_prefix}/{path}"

    # Screen

    async def reset(self, tab: Tab) -> None:
        """Load the page; it is ready once its text box is there. Raises LoginNeeded behind a login."""
        await tab.goto(self.home)
        self._app = None
        await self._known(tab)
        if not await self.on_screen(tab).wait("input", timeout_s=READY_S):
            raise await self.on_screen(tab).missing("input")
        tab.fresh = True

    def on_screen(self, tab: Tab) -> Screen:
        """The selectors of the file; a Blocks app's own text box and send button come first."""
        selectors = self.selectors.current()
        roles: dict[str, Sequence[Candidate]] = dict(selectors.roles)
        for role, candidates in (self._app.on_screen() if self._app else {}).items():
            roles[role] = [*candidates, *roles.get(role, ())]
        return Screen(tab, roles, selectors.ways)

    async def prepare(self, tab: Tab, turn: Turn) -> None:
        """A fresh page. Raises BadRequest for what only the fetch drivers can do: a choice of model, forms."""
        if turn.model:
            raise BadRequest("The model of a Gradio app can be chosen by the fetch drivers only.", param="model")
        await super().prepare(tab, turn)
        app = await self._known(tab)
        if app.mode != "chat_interface" and app.plan().answer.type != "chatbot":
            raise BadRequest("This Gradio app is a form, not a chat: only the fetch drivers can use it.")
        if len(turn.attachments) > 1 and app.plan().box.props.get("file_count") == "single":
            raise BadRequest("The page of this Gradio app takes one file at a time; the fetch drivers take several.")


def _json(reply: Response) -> Any:
    try:
        return json.loads(reply.body)
    except ValueError:
        raise SiteChanged("JSON", f"{reply.text[:200]!r} at {reply.url}", refused=True) from None
