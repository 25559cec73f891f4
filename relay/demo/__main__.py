"""`python -m relay.demo`: the demo site by itself, until interrupted."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import os
from collections.abc import Sequence

from relay.demo.app import create_app
from relay.demo.model import Pace
from relay.demo.server import DemoServer


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve and print the address. The secret of the sessions is `RELAY_DEMO_SECRET`, else random."""
    parser = argparse.ArgumentParser(prog="python -m relay.demo", description="The built-in demo chat site.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any free one)")
    parser.add_argument("--piece-ms", type=float, help="milliseconds between pieces of an answer (default: 20)")
    parser.add_argument("--scripts", action="store_true", help="allow stored scripts, for tests and benchmarks")
    chosen = parser.parse_args(arguments)
    pace = Pace.from_environment()
    if chosen.piece_ms is not None:
        pace = dataclasses.replace(pace, piece_s=chosen.piece_ms / 1000)
    app = create_app(secret=os.environ.get("RELAY_DEMO_SECRET"), pace=pace, scripts=chosen.scripts)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(DemoServer(app, port=chosen.port, own_signals=True)))


async def _serve(server: DemoServer) -> None:
    async with server:
        print(f"demo site: {server.url}/ (user demo, password demo)", flush=True)
        await server.wait()


if __name__ == "__main__":
    main()
