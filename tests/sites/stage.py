"""A site as the contract's tests see it: one account at one relay server, and what becomes of it at the site."""

from __future__ import annotations

import importlib
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import httpx

from relay.sites.registry import SITES
from tests.e2e import accounts
from tests.e2e.client import Got, Refusal, ask, refusal
from tests.e2e.relay_server import RelayServer
from tests.e2e.stages import MOST_SNAPSHOTS, pieces
from tests.e2e.world import World
from tests.replicas import Answer, Fault, Piece, Scenario, Seen, SeenConversation, SeenTurn
from tests.replicas.site import Replica
from tests.sites.facts import Able, able

AGAIN = "as if nothing had been"


def replica_of(site: str) -> Replica:
    """The replica of a site, for what it knows without running."""
    found = importlib.import_module(f"tests.replicas.{site.replace('-', '_')}").REPLICA
    assert isinstance(found, Replica)
    return found


class Stage:
    """A site's replica and its only account at a server."""

    def __init__(self, world: World, site: str, driver: str, relay: RelayServer) -> None:
        """`driver`: the only one that the server has for the site, or `` for the site's own order of them."""
        self.site, self.driver, self.relay = site, driver, relay
        self.kind = SITES[site]
        self.account = relay.home.name
        """Its user has the same name."""
        self._world = world

    def __repr__(self) -> str:
        return f"<Stage {self.site}/{self.account} by {self.driver or 'its own drivers'} at {self.relay.url}>"

    @property
    def lacks(self) -> frozenset[str]:
        """What of a scenario means nothing to the site."""
        return replica_of(self.site).lacks

    @property
    def drivers(self) -> tuple[str, ...]:
        """The drivers that may answer."""
        return (self.driver,) if self.driver else self.kind.drivers

    def can(self, what: Able) -> bool:
        """Whether the site declares that it can, by the server's driver."""
        return able(self.site, self.driver, what)

    # the site

    async def play(self, scenario: Scenario) -> None:
        """What the account meets from now on."""
        await self._world.replicas.play(self.site, self.account, scenario)

    async def answer(self, text: str, *, seed: int = 1, faults: tuple[Fault, ...] = (), **more: Any) -> None:
        """Prompts are answered with `text`, in random pieces and bytes cut at random; `more` of the scenario."""
        parts = [Piece(text=piece) for piece in self.pieces(text, seed)]
        await self.play(Scenario(answer=Answer(pieces=parts), faults=list(faults), cuts=seed, **more))

    def pieces(self, text: str, seed: int) -> list[str]:
        """A text as the site's model would give it."""
        return pieces(text, seed)

    async def seen(self) -> Seen:
        """What the site saw of the account."""
        return await self._world.replicas.seen(self.site, self.account)

    async def turns(self) -> list[SeenTurn]:
        """The prompts that it took, conversation by conversation, each in order."""
        return [turn for conversation in (await self.seen()).conversations for turn in conversation.turns]

    def of(self, user: str) -> Stage:
        """Another user of the site, who has no account at the server."""
        other = copy(self)
        other.account = user
        return other

    # the account

    def log_in(self, *, ttl_s: float = 900) -> Path:
        """Write a new login; the account's folder."""
        replica = replica_of(self.site)
        login = replica.login(self.account, ttl_s=ttl_s)
        return accounts.write(self.relay.home, self.site, self.account, login, base_url=replica.address)

    def token(self, user: str) -> str:
        """What another user would paste; empty where there is none."""
        return replica_of(self.site).token(user)

    def owner(self, verb: str) -> dict[str, Any]:
        """Have the owner's API do something with the account (`check`, `resume`); how it is then."""
        transport = httpx.HTTPTransport(uds=str(self.relay.home / "relay.sock"))
        headers = {"x-relay-admin": "1"}
        with httpx.Client(transport=transport, base_url="http://relay", headers=headers, timeout=60) as client:
            answer = client.post(f"/admin/api/accounts/{self.site}/{self.account}/{verb}")
        assert answer.status_code == 200, answer.text
        status: dict[str, Any] = answer.json()
        return status

    def status(self) -> dict[str, Any]:
        """How the account is, as `/health` tells."""
        told = httpx.get(f"{self.relay.url}/health", trust_env=False, timeout=10).json()["accounts"]
        return next(one for one in told if one["account"] == self.account)

    def renew(self) -> None:
        """As its owner would: log in anew and put it back to service."""
        self.log_in()
        self.owner("resume")

    def reopen(self) -> None:
        """Every page that was loaded before is closed."""
        self.owner("lend")
        self.owner("take-back")

    # the client

    @property
    def model(self) -> str:
        """The model of plain chats."""
        return self.site

    async def ask(self, prompt: Any = "hello", *, model: str = "", **options: Any) -> Got:
        """A chat that must be answered, by a driver that it may be answered by."""
        got = await ask(self.relay, model or self.model, prompt, **options)
        assert got.finish == "stop"
        assert got.headers["x-relay-site"] == self.site
        assert got.headers["x-relay-driver"] in self.drivers
        return got

    async def refused(self, prompt: Any = "hello", *, model: str = "", **options: Any) -> Refusal:
        """A chat that must fail."""
        return await refusal(self.relay, model or self.model, prompt, **options)

    async def again(self) -> None:
        """Whatever was: the next plain chat is answered. The account may need its owner first."""
        await self.answer(AGAIN)
        if self.status()["state"] not in ("ready", "busy"):
            self.renew()
        got = await self.ask("and now?")
        assert got.text == AGAIN


class GradioStage(Stage):
    """A real Gradio app that plays scenarios; what goes wrong stands before it (`tests/gradio_apps/faults.py`)."""

    def __init__(self, world: World, site: str, driver: str, relay: RelayServer) -> None:
        super().__init__(world, site, driver, relay)
        self._app = world.gradio
        self._before = len(self._app.received())

    @property
    def lacks(self) -> frozenset[str]:
        return frozenset(
            {"search", "cite", "media", "failed", "refusal", "shield", "challenge", "layout", "hydrate_ms"}
            | {"dead", "guest", "banned"}
        )

    async def play(self, scenario: Scenario) -> None:
        answer, faults = scenario.answer, scenario.faults
        error = next((fault for fault in faults if fault.kind == "error"), None)
        shown = answer.script()[: error.after if error else None]
        told = {
            "id": secrets.token_hex(8),
            "pieces": [piece.model_dump() for piece in shown],
            "error": error.message if error else "",
            "faults": [fault.model_dump() for fault in faults if fault is not error],
        }
        fresh = self._app.folder / "scenario.new"
        fresh.write_text(json.dumps(told), "utf-8")
        fresh.replace(self._app.folder / "scenario.json")

    def pieces(self, text: str, seed: int) -> list[str]:
        """Few: it sends and draws each growing answer anew."""
        parts = super().pieces(text, seed)
        each = -(-len(parts) // MOST_SNAPSHOTS)
        return ["".join(parts[start : start + each]) for start in range(0, len(parts), each)]

    async def seen(self) -> Seen:
        mine = [one for one in self._app.received()[self._before :] if one["kind"] == "stage"]
        seen = Seen()
        for number, event in enumerate(mine):
            if event["event"] == "stopped":
                seen.conversations[-1].turns[-1].stopped = True
                continue
            turn = SeenTurn.model_validate({"prompt": event["text"], "files": event["files"]})
            seen.conversations.append(SeenConversation(id=str(number), turns=[turn]))
        return seen

    def log_in(self, *, ttl_s: float = 900) -> Path:
        return accounts.gradio(self.relay.home, self.account, f"{self._app.address}/stage/")

    def token(self, user: str) -> str:
        return ""


@contextmanager
def opened(
    world: World, site: str, driver: str, settings: Mapping[str, str] | None = None, module: str = "relay"
) -> Iterator[Stage]:
    """A server for one site by one driver (``: by its own order), with an account that is logged in."""
    relay = world.alone(site, driver or ",".join(SITES[site].drivers), module=module, **(settings or {}))
    stage = (GradioStage if site == "gradio" else Stage)(world, site, driver, relay)
    stage.log_in()
    with relay:
        yield stage
