"""Where notices go: an http(s) address gets our JSON; every other kind of address is Apprise's.

Addresses are secrets, and where Apprise's begin with a token even their host is. So only `label` is ever logged: the
position in RELAY_NOTIFY and the scheme, with the host for http(s). Proxies are those of the environment for both kinds
(HTTPS_PROXY, NO_PROXY): unlike the sites, receivers are reached like by any other program of the machine.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from relay import __version__
from relay.errors import BadRequest

if TYPE_CHECKING:
    from apprise import Apprise

SETTING = "RELAY_NOTIFY"
WEBHOOK_S = 15.0
"""For the whole exchange; a receiver that only drips would outlive every clock of the socket."""
APPRISE_S = 45.0
"""Beyond its own time-outs (4 s each for HTTP, 15 s for SMTP), which begin anew with each byte."""

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,31})://", re.IGNORECASE)
# They log addresses, whole or in parts.
_TALKATIVE = ("apprise", "urllib3", "requests", "httpx", "httpcore")


class NotTold(Exception):
    """The receiver did not take it; the message holds nothing of its address."""


@dataclass(frozen=True, slots=True)
class Message:
    """A notice as it is sent: `body` is the JSON of a webhook, `title` and `text` are for people."""

    title: str
    text: str
    body: Mapping[str, Any]


class Receiver(Protocol):
    """One address."""

    label: str
    """May be shown."""

    async def tell(self, message: Message) -> None:
        """Deliver it. Raises NotTold."""
        ...


async def receivers_of(addresses: Sequence[str]) -> list[Receiver]:
    """The receivers of a setting. Raises BadRequest naming a bad address by its position and scheme."""
    for name in _TALKATIVE if addresses else ():
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return [await _receiver(address.strip(), position) for position, address in enumerate(addresses, 1)]


async def _receiver(address: str, position: int) -> Receiver:
    match = _SCHEME.match(address)
    if match is None:
        raise BadRequest(f"{SETTING}: address {position} has no scheme (https://, ntfy://, mailto://…).")
    scheme = match[1].lower()
    if scheme in ("http", "https"):
        return Webhook(address, position)
    try:
        apprise = await _in_thread(lambda: _apprise(address), APPRISE_S)
    except NotTold:
        apprise = None
    if apprise is None:
        raise BadRequest(
            f"{SETTING}: address {position} ({scheme}://) is not one that Apprise takes: the scheme is unknown, or the "
            "rest is not as that service needs it. docs/notices.md has examples. A comma in an address is written %2C."
        )
    return AppriseReceiver(apprise, f"address {position} ({scheme}://)")


class Webhook:
    """An http(s) address: it gets the JSON by POST, and any 2xx means that it took it. No redirect is followed."""

    def __init__(self, address: str, position: int) -> None:
        try:
            parts = urlsplit(address)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not host or re.search(r"[\s\x00-\x1f]", address):
            scheme = address.partition(":")[0].lower()
            raise BadRequest(f"{SETTING}: address {position} ({scheme}://) has no valid host or port.")
        self._address = address
        self.label = f"address {position} ({parts.scheme}://{host}{f':{port}' if port else ''})"

    def __repr__(self) -> str:
        return f"<Webhook {self.label}>"

    async def tell(self, message: Message) -> None:
        """POST it. Raises NotTold."""
        import httpx

        headers = {"User-Agent": f"relay/{__version__}"}
        try:
            async with (
                asyncio.timeout(WEBHOOK_S),
                httpx.AsyncClient(timeout=10, follow_redirects=False) as client,
                client.stream("POST", self._address, json=message.body, headers=headers) as reply,
            ):
                status = reply.status_code  # what else it says does not matter, and may be endless
        except TimeoutError:
            raise NotTold(f"no answer within {WEBHOOK_S:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise NotTold(type(error).__name__) from None
        if 300 <= status < 400:
            raise NotTold(f"HTTP {status}: it redirects, which is not followed; set the address that it leads to")
        if not 200 <= status < 300:
            raise NotTold(f"HTTP {status}")


class AppriseReceiver:
    """An address of any service that Apprise knows."""

    def __init__(self, apprise: Apprise, label: str) -> None:
        self._apprise = apprise
        self.label = label

    def __repr__(self) -> str:
        return f"<AppriseReceiver {self.label}>"

    async def tell(self, message: Message) -> None:
        """Let Apprise send it, in a thread. Raises NotTold."""
        from apprise import NotifyFormat, NotifyType

        def send() -> bool:
            return bool(
                self._apprise.notify(
                    body=message.text,
                    title=message.title,
                    notify_type=NotifyType.WARNING,
                    body_format=NotifyFormat.TEXT,
                )
            )

        if not await _in_thread(send, APPRISE_S):
            raise NotTold("the service did not take it, or could not be reached")


def _apprise(address: str) -> Apprise | None:
    """Apprise with one address, or None where it is none. It keeps nothing on disk and follows no redirects."""
    from apprise import Apprise, AppriseAsset

    asset = AppriseAsset(app_id="relay", app_desc="relay", storage_mode="memory", http_redirects=False)
    made = Apprise(asset=asset)
    return made if made.add(address) and len(made) == 1 else None


async def _in_thread(call: Callable[[], Any], within_s: float) -> Any:
    """`call()` in a thread that keeps nothing alive: Apprise may hang, and the relay must still end.

    Raises NotTold where it takes longer or fails.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def settle(value: Any, error: str | None) -> None:
        if not done.done():
            done.set_exception(NotTold(error)) if error else done.set_result(value)

    def run() -> None:
        value, error = None, None
        try:
            value = call()
        except Exception as fault:  # whatever a plug-in meets; its text may hold the address
            error = type(fault).__name__
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=run, name="telling the owner", daemon=True).start()
    try:
        return await asyncio.wait_for(done, within_s)
    except TimeoutError:
        raise NotTold(f"no answer within {within_s:g} s") from None
