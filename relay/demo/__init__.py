"""The built-in demo chat site: a real web page and server with a scripted model.

It stands alone: nothing of the relay is imported.

`create_app()` is the ASGI app, `DemoServer` runs it inside a program, `python -m relay.demo` runs it by itself.
"""

from relay.demo.app import create_app
from relay.demo.model import MODELS, Pace
from relay.demo.server import DemoServer
from relay.demo.sessions import session_cookie

__all__ = ["MODELS", "DemoServer", "Pace", "create_app", "session_cookie"]
