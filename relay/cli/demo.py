"""`relay demo`: the server, the built-in demo site, and an account that is logged in at it."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from platformdirs import user_state_path
from pydantic import SecretStr

from relay.cli.serve import run_forever
from relay.demo import DemoServer, create_app, session_cookie
from relay.demo.sessions import LIFETIME_S
from relay.pool.profiles import Profile
from relay.pool.sealing import Keyring
from relay.private import write_private
from relay.settings import Settings

USER = "demo"


def demo_home() -> Path:
    """The demo's own folder, apart from the owner's accounts."""
    return user_state_path("relay", appauthor=False) / "demo"


def run_demo(port: int) -> None:
    """Serve the demo until a signal comes."""
    settings = Settings(home=demo_home(), port=port)  # the host as set: in a container it is not loopback
    if not settings.admin_password:  # a new one at each start: nobody keeps the demo's
        settings.admin_password = SecretStr(secrets.token_urlsafe(12))
    password = settings.admin_password.get_secret_value()

    def ready(url: str) -> None:
        from relay.api.auth import Keys  # beside the browser's launch, as the rest of the API

        print(welcome(url, key=bool(Keys.of(settings)), password=password), flush=True)

    run_forever(settings, ready, beside=_site(settings))


@asynccontextmanager
async def _site(settings: Settings) -> AsyncIterator[None]:
    """The site on a free port of its own; once that is known the account can name its address."""
    secret = secrets.token_hex(32)
    async with DemoServer(create_app(secret=secret)) as site:
        log_in(settings, site.url, secret)
        yield


def log_in(settings: Settings, address: str, secret: str) -> None:
    """Write the account `demo/demo` as a login would have left it."""
    keys = Keyring.of(settings.profile_key)
    profile = Profile("demo", USER, settings.profiles / "demo" / USER, keys)
    name, value = session_cookie(secret, USER)
    cookie = {
        "name": name,
        "value": value,
        "domain": urlsplit(address).hostname,
        "path": "/",
        "expires": int(time.time()) + LIFETIME_S,
        "httpOnly": True,
        "secure": False,
        "sameSite": "Lax",
    }
    profile.save({"cookies": [cookie], "origins": []})
    write_private(profile.folder / "account.toml", f'label = "the built-in demo"\nbase_url = "{address}/"\n')


def welcome(url: str, *, key: bool, password: str) -> str:
    """What to try first; with `key`, calls need one of the server's API keys. `password` is the admin page's."""
    header = ' -H "Authorization: Bearer $RELAY_API_KEY"' if key else ""
    return f"""
relay demo is ready: {url}

  curl {url}/v1/chat/completions -H 'Content-Type: application/json'{header} \\
    -d '{{"model": "demo", "stream": true, "messages": [{{"role": "user", "content": "Hello!"}}]}}'

  from openai import OpenAI
  client = OpenAI(base_url="{url}/v1", api_key={'os.environ["RELAY_API_KEY"]' if key else '"none"'})
  for chunk in client.chat.completions.create(
      model="demo", stream=True, messages=[{{"role": "user", "content": "Hello!"}}]
  ):
      print(chunk.choices[0].delta.content or "", end="", flush=True)

  relay chat demo "Hello!" --url {url}

Accounts: {url}/admin   Password: {password}
Routes: {url}/docs   Models: {url}/v1/models   End with Ctrl-C.
"""
