"""A pool in this process that plays scripts: the double of the pool only; everything before it is real."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

from relay.chat.events import (
    Event,
    Finished,
    Media,
    Progress,
    Reasoning,
    Retracted,
    Search,
    Source,
    Sources,
    Started,
    Text,
    ToolCall,
    Turned,
)
from relay.chat.request import ChatRequest
from relay.errors import (
    AccountNotFound,
    BrowserFault,
    ContentRefused,
    CutAnswer,
    LoginGone,
    LoginNeeded,
    NoAccount,
    QueueFull,
    RateLimited,
    SiteUnavailable,
)
from relay.pool.face import AccountStatus, LoginTicket, LoginView, Offer, PoolStatus
from relay.pool.measures import Measures

Script = Callable[["ScriptedChat"], AsyncIterator[Event]]
PIECES = ("Hello", ", ", "wörld", " 你好", " 🙂", '\n```py\nprint("x")\n```\n')
ANSWER = "".join(PIECES)
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(64)


async def plain(chat: ScriptedChat) -> AsyncIterator[Event]:
    yield Started("conv-1")
    for piece in PIECES:
        yield Text(piece)
        await asyncio.sleep(0)
    yield Turned("conv-1", "msg-1")
    yield Finished("stop")


async def rich(chat: ScriptedChat) -> AsyncIterator[Event]:
    yield Search("weather in Oslo")
    yield Reasoning("Let me ")
    yield Reasoning("think.")
    yield Text("It rains [1](https://example.org/a).")
    yield Sources((Source("https://example.org/a", "A [page]", index=1), Source("javascript:alert(1)", "no")))
    yield Media("image", url="https://example.org/p (1).png", name="picture")
    yield Text("Done.")
    yield Finished("stop")


async def draws(chat: ScriptedChat) -> AsyncIterator[Event]:
    yield Text("Here it is.")
    yield Media("image", url="https://site.example/p.png", data=PICTURE, mime="image/png", name="a cat", private=True)
    yield Finished("stop")


async def long(chat: ScriptedChat) -> AsyncIterator[Event]:
    for number in range(2000):
        yield Text(f"{number} ")
        if number % 50 == 0:
            await asyncio.sleep(0)
    yield Finished("length")


async def slow(chat: ScriptedChat) -> AsyncIterator[Event]:
    yield Text("begun")
    await chat.forever()
    yield Finished()


async def silent(chat: ScriptedChat) -> AsyncIterator[Event]:
    yield Progress("typing")
    await chat.forever()
    yield Finished()


async def late(chat: ScriptedChat) -> AsyncIterator[Event]:
    await asyncio.sleep(0.6)
    yield Text("late")
    yield Finished("stop")


async def late_failure(chat: ScriptedChat) -> AsyncIterator[Event]:
    await asyncio.sleep(0.6)
    raise SiteUnavailable("The site answered HTTP 500.")
    yield Finished()


async def early_failure(chat: ScriptedChat) -> AsyncIterator[Event]:
    raise LoginNeeded("The login is dead.")
    yield Finished()


async def limited(chat: ScriptedChat) -> AsyncIterator[Event]:
    raise RateLimited("The site limits this account.", retry_after_s=1.5)
    yield Finished()


async def refused(chat: ScriptedChat) -> AsyncIterator[Event]:
    raise ContentRefused("The site refused.")
    yield Finished()


async def cut(chat: ScriptedChat) -> AsyncIterator[Event]:
    yield Text("half an ans")
    raise CutAnswer("The answer was cut.")


async def endless(chat: ScriptedChat) -> AsyncIterator[Event]:
    yield Text("no end mark")


async def retracted(chat: ScriptedChat) -> AsyncIterator[Event]:
    yield Text("Something forbidden")
    await asyncio.sleep(0.05)
    yield Retracted("policy")


async def broken(chat: ScriptedChat) -> AsyncIterator[Event]:
    raise ZeroDivisionError("a fault of ours with secret=hunter2")
    yield Finished()


async def echo(chat: ScriptedChat) -> AsyncIterator[Event]:
    for message in chat.request.messages:
        files = "".join(f"<{file.kind} {file.mime} {file.name} {len(file.data)}>" for file in message.attachments)
        calls = "".join(f"<{call.name} {call.arguments} {call.id}>" for call in message.calls)
        name = " ".join(part for part in (message.name, message.call_id) if part)
        yield Text(f"{message.role}{f'({name})' if name else ''}: {message.text}{files}{calls}\n")
    yield Finished("stop")


SCRIPTS: dict[str, Script] = {
    "demo": plain,
    "rich": rich,
    "draws": draws,
    "long": long,
    "slow": slow,
    "silent": silent,
    "late": late,
    "late-failure": late_failure,
    "early-failure": early_failure,
    "limited": limited,
    "refused": refused,
    "cut": cut,
    "endless": endless,
    "retracted": retracted,
    "broken": broken,
    "echo": echo,
}


class ScriptedChat:
    """Implements the pool's Chat."""

    def __init__(self, request: ChatRequest, script: Script) -> None:
        self.request = request
        self.id = request.id
        self.site = request.choice.site
        self.account = "default"
        self.driver = "fetch"
        self.queue_ms = 1.4
        self.cancelled = threading.Event()
        self.started = threading.Event()
        self.ended = threading.Event()
        self.heard = "key of the history"
        self.given: str | None = None
        self.calls: tuple[ToolCall, ...] = ()
        self._script = script
        self._stop = asyncio.Event()

    async def forever(self) -> None:
        """Until cancelled."""
        await self._stop.wait()

    async def __aiter__(self) -> AsyncIterator[Event]:
        self.started.set()
        try:
            async for event in self._script(self):
                yield event
        finally:
            self.ended.set()

    def note(self) -> str:
        return "waiting\nfor a tab"

    def delivered(self, text: str, calls: tuple[ToolCall, ...] = ()) -> None:
        self.given, self.calls = text, calls

    async def cancel(self) -> None:
        self._stop.set()
        self.cancelled.set()


class ScriptedOwner:
    """Implements the pool's Owner on a table. An account named `faulty` cannot be checked."""

    def __init__(self, accounts: dict[str, AccountStatus]) -> None:
        self.accounts = accounts
        self.calls: list[tuple[str, str]] = []
        self.gate = threading.Event()
        """Cleared, a check waits for it."""
        self.gate.set()

    def find(self, verb: str, name: str) -> AccountStatus:
        self.calls.append((verb, name))
        if name not in self.accounts:
            raise AccountNotFound(f"There is no account {name!r}.")
        return self.accounts[name]

    def now(self, verb: str, name: str, state: str, reason: str = "", why: str = "") -> AccountStatus:
        changed = replace(self.find(verb, name), state=state, reason=reason, why=why, until=None, since=None)
        self.accounts[name] = changed
        return changed

    async def check(self, name: str) -> AccountStatus:
        await asyncio.to_thread(self.gate.wait, 20)
        if name.endswith("/faulty"):
            raise BrowserFault(f"{name} could not be checked.")
        return self.find("check", name)

    async def park(self, name: str) -> AccountStatus:
        return self.now("park", name, "disabled", "parked", "parked by its owner")

    async def resume(self, name: str) -> AccountStatus:
        return self.now("resume", name, "ready")

    async def take_up(self, name: str) -> AccountStatus:
        site, _, account = name.partition("/")
        self.accounts.setdefault(name, AccountStatus(site, account, "new"))
        return self.find("take_up", name)

    async def remove(self, name: str) -> None:
        self.find("remove", name)
        del self.accounts[name]

    async def lend(self, name: str) -> None:
        self.now("lend", name, "disabled", "lent")

    async def take_back(self, name: str) -> AccountStatus:
        return self.now("take_back", name, "ready")


class ScriptedLogins:
    """Implements the pool's Logins as far as addresses go."""

    def __init__(self, owner: ScriptedOwner) -> None:
        self._owner = owner

    async def open(self, name: str) -> LoginTicket:
        if self._owner.find("login", name).reason == "lent":
            raise NoAccount(f"{name} is being logged in to already.")
        return LoginTicket("/login/s3cret", 2_000_000_000.0)

    async def end(self, name: str) -> None:
        self._owner.find("end", name)

    def enter(self, secret: str, viewer: str) -> LoginView:
        raise LoginGone("There is no such login.")


class ScriptedTokens:
    """Implements the pool's Tokens: what ends in `live` lives."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def check(self, token: str, site: str) -> bool:
        self.asked.append((site, token))
        if token.endswith("unreachable"):
            raise SiteUnavailable("The site answered HTTP 500.")
        return token.endswith("live")


class ScriptedPool:
    """Implements the pool's face: model `demo/<script>` plays that script."""

    def __init__(self) -> None:
        self.chats: list[ScriptedChat] = []
        self.submitted = threading.Event()
        self.ready = True
        self.broken = False
        self.measures = Measures(self.status, lambda: 0)
        self.accounts = {"demo/default": AccountStatus("demo", "default", "ready")}
        self.owner = ScriptedOwner(self.accounts)
        self.logins = ScriptedLogins(self.owner)
        self.tokens = ScriptedTokens()

    @property
    def last(self) -> ScriptedChat:
        """The chat submitted last."""
        return self.chats[-1]

    def submit(self, request: ChatRequest) -> ScriptedChat:
        key = request.choice.model
        if request.choice.site != "demo":
            raise NoAccount(f"No account of {request.choice.site} is set up.")
        if key == "full":
            raise QueueFull("256 requests are waiting already.")
        chat = ScriptedChat(request, SCRIPTS[key])
        self.chats.append(chat)
        self.submitted.set()
        return chat

    def offers(self, *, everything: bool = False) -> Sequence[Offer]:
        demo = [Offer("demo", "demo", "demo", "Demo", True, ("gpt-demo",), thinking=True, search=True, images=True)]
        demo += [Offer(f"demo/{key}", "demo", key, f"Demo {key}") for key in (*SCRIPTS, "full") if key != "demo"]
        demo = [replace(offer, draws=offer.key in ("draws", "rich", "limited")) for offer in demo]
        demo = [replace(offer, token_pattern=r"tok-[a-z]{4,}") for offer in demo]
        kimi = Offer("kimi", "kimi", "k2d6-chat", "Kimi", default=True, agents="[0-9a-z]{20}", ready=False)
        kimi = replace(kimi, token_pattern=r"kim-[a-z]{4,}")
        return [*demo, kimi, Offer("gradio", "gradio", "", "Gradio", ready=False)] if everything else demo

    def status(self) -> PoolStatus:
        if self.broken:
            raise ZeroDivisionError("a fault of ours with secret=hunter2")
        return PoolStatus(self.ready, 0, 0, "chromium", tuple(self.accounts.values()))

    async def metrics(self) -> bytes:
        return await self.measures.exposition()
