"""The running server, for commands: by the owner's socket of this home, or by its address and an API key."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from relay import errors
from relay.errors import BadRequest, RelayError, SiteUnavailable
from relay.settings import Settings

TIMEOUT = httpx.Timeout(10, read=1000)
"""Seconds. An account that is removed or lent is drained first: that is as long as its longest chat."""
_SOCKET_BASE = "http://relay"


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore")
    message: str = "the server gave no reason"
    code: str | None = None
    param: str | None = None


class _Refusal(BaseModel):
    error: _Body


class ServerClient:
    """`with ServerClient.find(settings, url) as server: server.get("/admin/api/accounts")`."""

    def __init__(self, http: httpx.Client, where: str) -> None:
        self.http = http
        """For streams; the answers of the methods here are read whole."""
        self.where = where
        """The socket's path, or the address."""

    def __repr__(self) -> str:
        return f"<ServerClient {self.where}>"

    @classmethod
    def find(cls, settings: Settings, url: str | None = None) -> ServerClient | None:
        """The server at `url` (with RELAY_API_KEY as its key), else the one of this home; None if none runs there.

        Raises SiteUnavailable where an address was given and nobody answers at it.
        """
        if url is not None:
            client = cls.at(url)
            if not client._answers():
                client.close()
                raise SiteUnavailable(f"No server answers at {url}. Start one with `relay serve`, or mend the address.")
            return client
        local = cls.on(settings.socket)
        if local is not None and not local._answers():
            local.close()
            return None
        return local

    @classmethod
    def on(cls, socket: Path) -> ServerClient | None:
        """By the owner's socket, which may be there and nobody behind it; None where there is none."""
        if not socket.is_socket():
            return None
        transport = httpx.HTTPTransport(uds=str(socket))
        return cls(httpx.Client(transport=transport, base_url=_SOCKET_BASE, timeout=TIMEOUT), str(socket))

    @classmethod
    def at(cls, url: str) -> ServerClient:
        """By address. The server is the owner's own: proxies of the environment are for other addresses."""
        key = os.environ.get("RELAY_API_KEY", "")  # never an argument: others can read those
        if not key.isascii() or not key.isprintable():
            raise BadRequest("RELAY_API_KEY is no key: one line of printable ASCII characters, please.")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        try:
            return cls(httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT, trust_env=False), url)
        except httpx.InvalidURL:
            raise BadRequest(f"{url[:200]!r} is not an address: http://<host>:<port>, please.") from None

    def get(self, path: str) -> Any:
        """The JSON at a path. Raises what the server says went wrong, SiteUnavailable if it does not answer."""
        return self._ask("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        """Send JSON (an empty object, if nothing); the answer's JSON. Raises as `get`."""
        return self._ask("POST", path, {} if body is None else body)

    def delete(self, path: str) -> Any:
        """Raises as `get`."""
        return self._ask("DELETE", path, {})

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def _answers(self) -> bool:
        try:
            return self.http.get("/ping", timeout=10).status_code == 200
        except (httpx.TransportError, httpx.InvalidURL):
            return False

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        try:
            response = self.http.request(method, path, json=body)
        except httpx.TransportError as error:
            said = type(error).__name__
            raise SiteUnavailable(f"The connection to the server at {self.where} failed ({said}).") from None
        if response.status_code >= 400:
            raise error_of(response.status_code, response.content)
        try:
            return response.json()
        except ValueError:
            raise SiteUnavailable(f"What answers at {self.where} is no relay: its answer is not JSON.") from None

    def __enter__(self) -> ServerClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def account_path(name: str, verb: str = "") -> str:
    """`/admin/api/accounts/<site>/<account>[/<verb>]`. Raises BadRequest for a name that is not `<site>/<account>`."""
    site, slash, account = name.partition("/")
    if not (site and slash and account) or "/" in account:
        raise BadRequest(f"An account is named <site>/<account>, not {name[:100]!r}.")
    return f"/admin/api/accounts/{quote(site, safe='')}/{quote(account, safe='')}" + (f"/{verb}" if verb else "")


def error_of(status: int, body: bytes) -> RelayError:
    """An error answer as the error that it was on the server; RelayError where its code is unknown here."""
    try:
        said = _Refusal.model_validate_json(body).error
    except ValidationError:
        return RelayError(f"The server answered HTTP {status} in a form that is not relay's.")
    kind = next((one for one in _tree(RelayError) if vars(one).get("code") == said.code), RelayError)
    error = kind.__new__(kind)  # not by its own constructor: some make their message out of parts
    RelayError.__init__(error, said.message, param=said.param)
    return error


def _tree(kind: type[RelayError]) -> Iterator[type[RelayError]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from _tree(below)
