"""A demo site behind a door of its own: a login page that asks for everything that real ones ask for.

Whoever has no session is sent from `/` to `/door`. Its progress is kept by a cookie, so that tests keep apart.
"""

from __future__ import annotations

import io
import secrets
from dataclasses import dataclass, field

import segno
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from relay.demo import create_app, session_cookie
from relay.demo.app import STATIC
from relay.demo.sessions import COOKIE

NAME = "你好，世界"
CODE = "1234-5678 paste"
PLACES = {
    "name": (120, 40), "code": (120, 90), "popup": (120, 140), "file": (120, 190), "ask": (300, 140), "move": (300, 190)
}  # fmt: skip
"""Where things are on the page, in CSS pixels."""
ALLOW = (120, 60)
"""The button of the popup."""

DOOR = """<!doctype html><html><head><meta charset="utf-8"><title>The door</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
  body { margin: 0; height: 2000px; }
  body > * { position: absolute; left: 20px; width: 200px; height: 40px; margin: 0; box-sizing: border-box; }
  #name { top: 20px } #code { top: 70px } #popup { top: 120px } #file { top: 170px }
  #ask, #move { left: 260px; width: 80px } #ask { top: 120px } #move { top: 170px }
  #qr { top: 230px; width: 200px; height: 200px; image-rendering: pixelated }
  #box { top: 440px; width: 20px; height: 20px; background: teal }
</style></head><body>
<input id="name" placeholder="name"><input id="code" placeholder="code">
<button id="popup">sign in with</button><input id="file" type="file" multiple>
<button id="ask">ask</button><button id="move">move</button><img id="qr" src="/door/qr.png"><div id="box"></div>
<script>
  const say = (step, value) => fetch(`/door/did/${step}`, {method: "POST", body: value}).then(async answer => {
    if ((await answer.json()).open) await fetch("/door/enter", {method: "POST"});
  });
  const by = id => document.getElementById(id);
  for (const id of ["name", "code"]) {
    by(id).oninput = () => say(id, by(id).value);
    by(id).onfocus = () => say("focus", id);
  }
  by("popup").onclick = () => window.open("/door/other", "other", "width=300,height=200");
  addEventListener("message", event => say("popup", event.data));
  by("file").onchange = async () => say("file", (await Promise.all([...by("file").files].map(
    async file => `${file.name}=${await file.text()}`))).join("&"));
  by("ask").onclick = () => say("ask", `${confirm("Are you sure?")} ${prompt("Who?")}`);
  let at = 0, moving = false;
  by("move").onclick = () => {
    moving = !moving;
    const step = () => { by("box").style.left = `${20 + at++ % 200}px`; moving && requestAnimationFrame(step); };
    step();
  };
  addEventListener("scroll", () => say("scroll", String(scrollY)));
</script></body></html>"""

OTHER = """<!doctype html><html><head><meta charset="utf-8"><title>Another provider</title></head>
<body style="margin:0"><button style="position:absolute;left:20px;top:40px;width:200px;height:40px"
        onclick="opener.postMessage('allowed', '*'); window.close()">Allow</button></body></html>"""


@dataclass
class Progress:
    """What one browser has done."""

    did: dict[str, str] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether all is done that must be."""
        files = self.did.get("file", "")
        return (
            self.did.get("name") == NAME
            and self.did.get("code") == CODE
            and self.did.get("popup") == "allowed"
            and files == "a.txt=one&b.txt=two"
            and self.did.get("qr") == "scanned"
        )


class Door:
    """The site; `app` is what serves it."""

    def __init__(self) -> None:
        self.secret = secrets.token_hex(16)
        demo = create_app(secret=self.secret)
        self.progress: dict[str, Progress] = {}
        self.newest = Progress()
        """Of the browser that came to the door last."""
        self.visits = 0
        routes = [
            Route("/", self.home),
            Route("/door", self.door),
            Route("/door/other", lambda request: HTMLResponse(OTHER)),
            Route("/door/qr.png", self.qr),
            Route("/door/scan/{visitor}", self.scan),
            Route("/door/did/{step}", self.did, methods=["POST"]),
            Route("/door/enter", self.enter, methods=["POST"]),
            Mount("/", demo),
        ]
        self.app = Starlette(routes=routes)  # without the demo's policy on scripts
        self.app.state.site = demo.state.site

    def __repr__(self) -> str:
        return f"<Door visitors={len(self.progress)}>"

    def _of(self, request: Request) -> Progress:
        return self.progress.setdefault(request.cookies.get("visitor", ""), Progress())

    async def home(self, request: Request) -> Response:
        """The demo site's page, for who has a session."""
        if self.app.state.site.sessions.user_of(request.cookies.get(COOKIE)) is None:
            return RedirectResponse("/door", 303)
        return HTMLResponse((STATIC / "index.html").read_text("utf-8"))

    async def door(self, request: Request) -> Response:
        """The login page."""
        visitor = request.cookies.get("visitor", "")
        if not visitor:
            answer = RedirectResponse("/door", 303)
            answer.set_cookie("visitor", secrets.token_hex(8))
            return answer
        self.visits += 1
        self.newest = self.progress.setdefault(visitor, Progress())
        return HTMLResponse(DOOR)

    async def qr(self, request: Request) -> Response:
        """An address that can be used once, as a QR code."""
        address = f"{request.base_url}door/scan/{request.cookies.get('visitor', '')}"
        drawn = io.BytesIO()
        segno.make(address, error="l").save(drawn, kind="png", scale=1, border=2)
        return Response(drawn.getvalue(), media_type="image/png")

    async def scan(self, request: Request) -> Response:
        """Somebody's telephone has read it."""
        progress = self.progress[request.path_params["visitor"]]
        if "qr" in progress.did:
            return Response("used up", 410)
        progress.did["qr"] = "scanned"
        return Response("thank you")

    async def did(self, request: Request) -> Response:
        """One step."""
        progress = self._of(request)
        progress.did[request.path_params["step"]] = (await request.body()).decode()
        return JSONResponse({"open": progress.open})

    async def enter(self, request: Request) -> Response:
        """The session, once everything is done."""
        if not self._of(request).open:
            return Response(status_code=403)
        answer = Response(status_code=204)
        answer.set_cookie(*session_cookie(self.secret, "demo"), httponly=True, samesite="lax")
        return answer
