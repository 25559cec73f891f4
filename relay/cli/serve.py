"""`relay serve`: pool and HTTP server in one process, one per home, ended by SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from loguru import logger

from relay import log
from relay.api.keys import KeyFile, lacks_key
from relay.chat import usage
from relay.cli.console import state
from relay.errors import Unauthorized
from relay.pool.dispatcher import Dispatcher
from relay.pool.locks import lock_home
from relay.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from relay.api.admin_login import PasswordFile
    from relay.api.local import LocalServer
    from relay.api.server import HttpServer
    from relay.pool.face import Pool


CUT_S = 2.0
"""What clients have to take the end of a cut answer."""


def run_server(*, host: str | None, port: int | None) -> None:
    """Serve with the settings of the environment; arguments win. Raises RelayError where it cannot start."""
    given: dict[str, Any] = {"host": host, "port": port}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    run_forever(settings, _announce)


def run_forever(
    settings: Settings, ready: Callable[[str], None], *, beside: AbstractAsyncContextManager[object] | None = None
) -> None:
    """Serve until a signal comes; `ready` gets the server's address once it listens.

    `beside` is entered before the accounts are read and left after the pool has ended.
    """
    makes_key = os.environ.get("RELAY_IN_IMAGE") == "1"
    if not makes_key and lacks_key(settings):
        raise Unauthorized(
            f"Listening on {settings.host} would open your accounts to the network: make an API key first "
            "(`relay keys create`, or RELAY_API_KEYS), or listen on 127.0.0.1."
        )
    log.configure("DEBUG" if state.debug else settings.log_level, debug=state.debug)
    with lock_home(settings.home), asyncio.Runner(loop_factory=_loop_factory()) as runner:
        if makes_key and lacks_key(settings):
            _show_once("API key", KeyFile(settings.home).create(name="first")[0])
        runner.run(_serve(settings, ready, beside or nullcontext()))


def _show_once(what: str, secret: str) -> None:
    """On standard output, where the log is not."""
    print(f"relay: made the {what}; it is shown this once:\n\n  {secret}\n", flush=True)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


async def _serve(settings: Settings, ready: Callable[[str], None], beside: AbstractAsyncContextManager[object]) -> None:
    told = _until_signal()
    async with beside:
        pool = Dispatcher(settings)
        try:
            starting = asyncio.create_task(pool.start(), name="starting the pool")
            # The API's imports take as long as the browser's launch; they run beside it.
            imports = asyncio.create_task(asyncio.to_thread(_import_api), name="importing the API")
            await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
                return
            await starting  # raises what went wrong
            api = await imports
            app = api.create_app(settings, pool)
            usage.load_in_background()
            grace_s = settings.stop_grace_s
            # The pool ends its answers with an error that says so; only then would the servers cut what is left.
            async with (
                aclosing(app.state.shelves),
                app.state.key_usage,
                api.HttpServer(app, settings.host, settings.port, grace_s=grace_s + CUT_S) as server,
                api.LocalServer(app, settings.socket, grace_s=grace_s + CUT_S) as local,
            ):
                app.state.url = settings.address if settings.public_url else server.url
                if not settings.admin_password and (password := api.PasswordFile(settings.home).make()):
                    _show_once(f"password of {server.url}/admin", password)
                ready(server.url)
                await told
                logger.info("stopping: answers in flight have {:g} s", grace_s)
                await asyncio.gather(pool.drain(grace_s), server.stop(), local.stop())
        finally:
            await pool.stop()
    logger.info("stopped")


class _Api(NamedTuple):
    create_app: Callable[[Settings, Pool], FastAPI]
    HttpServer: type[HttpServer]
    LocalServer: type[LocalServer]
    PasswordFile: type[PasswordFile]


def _import_api() -> _Api:
    from relay.api.admin_login import PasswordFile
    from relay.api.app import create_app
    from relay.api.local import LocalServer
    from relay.api.server import HttpServer

    return _Api(create_app, HttpServer, LocalServer, PasswordFile)


def _until_signal() -> asyncio.Task[bool]:
    """Ends at the first SIGINT or SIGTERM."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        if sys.platform == "win32":
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(told.set))
        else:
            loop.add_signal_handler(number, told.set)
    return asyncio.create_task(told.wait(), name="waiting for a signal")


def _announce(url: str) -> None:
    logger.info("listening on {}", url)
