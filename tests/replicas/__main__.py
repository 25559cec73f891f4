"""``python -m tests.replicas [--port 0]``: serve all replicas; the first line of output says where (JSON)."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from tests.replicas.certificate import self_signed
from tests.replicas.server import Testbed, discover, serving


async def main(port: int, *, with_parent: bool) -> None:
    """Serve until killed or, ``with_parent``, until standard input ends."""
    testbed = Testbed(discover())
    async with AsyncExitStack() as stack:
        with tempfile.TemporaryDirectory(prefix="replicas-") as directory:  # gone at once: the key is in memory now
            certificate = self_signed(testbed.hosts, Path(directory))
            address, control = await stack.enter_async_context(serving(testbed, certificate, port))
        line = {"port": address, "spki": certificate.spki, "control": f"http://127.0.0.1:{control}"}
        print(json.dumps(line), flush=True)
        if with_parent:
            # The thread blocks on the parent's end of the pipe, which closes however the parent dies.
            await asyncio.to_thread(sys.stdin.buffer.read)
        else:
            await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.replicas", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="TLS port; 0: any free one")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input ends")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    try:
        asyncio.run(main(options.port, with_parent=options.with_parent))
    except KeyboardInterrupt:
        sys.exit(130)
