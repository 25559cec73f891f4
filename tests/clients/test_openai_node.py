"""The `openai` package for Node: its helpers, and every route that it knows and relay has."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

from tests.clients.tap import Tap
from tests.clients.test_openai_files import NOTES
from tests.conftest import NODE

JANE = {"name": "Jane", "age": 54}


def test_all_routes(relay: Tap, node_modules: Path) -> None:
    done = subprocess.run(
        ["node", str(NODE / "routes.mjs"), relay.url],
        env={"PATH": os.environ["PATH"], "NODE_MODULES": str(node_modules)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert "“good morning”" in got["streamHelper"]["text"], got["streamHelper"]
    assert got["streamHelper"]["final"] == got["streamHelper"]["text"]
    assert got["streamHelper"]["pieces"] > 5
    assert got["runTools"]["asked"] == [{"city": "Oslo"}], got["runTools"]
    assert "It snows in Oslo." in got["runTools"]["text"]
    assert got["parse"] == JANE
    assert got["responses"]["arguments"] == {"city": "Oslo"}, got["responses"]
    assert {"response.created", "response.function_call_arguments.done", "response.completed"} <= set(
        got["responses"]["kinds"]
    )
    assert "It snows: minus 7." in got["responses"]["text"]
    assert got["responses"]["kept"] == got["responses"]["text"]
    assert got["responses"]["gone"] == {"name": "NotFoundError", "status": 404, "code": "response_not_found"}
    assert got["responsesParse"] == JANE
    assert (got["files"]["listed"], got["files"]["same"]) == (True, True), got["files"]
    assert hashlib.sha256(NOTES).hexdigest() in got["files"]["text"]
    assert got["files"]["gone"] == {"name": "NotFoundError", "status": 404, "code": "file_not_found"}
    assert got["images"] == "<svg"
    for route in ("speech", "transcription"):
        assert got[route] == {"name": "NotFoundError", "status": 404, "code": "model_not_found"}
    assert ".mp3" in got["audioIn"], got["audioIn"]
    assert got["refused"] == {"name": "RateLimitError", "status": 429, "code": "rate_limit_exceeded"}
