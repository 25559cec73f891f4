"""Packages of npm's, installed into .cache once per lock file."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from filelock import FileLock

CACHE = Path(__file__).parent.parent / ".cache"
FILES = ("package-lock.json", "package.json")
INSTALL_S = 300


def node_modules(source: Path) -> Path:
    """`node_modules` of the folder with these packages' `package.json` and lock. Raises AssertionError without npm."""
    assert shutil.which("npm") is not None, "npm is needed: install Node 20 or newer"
    digest = hashlib.sha256(b"".join((source / name).read_bytes() for name in FILES)).hexdigest()[:16]
    folder = CACHE / f"node-{digest}"
    CACHE.mkdir(exist_ok=True)
    with FileLock(CACHE / f"node-{digest}.lock"):
        if not (folder / "installed").exists():
            folder.mkdir(exist_ok=True)
            for name in FILES:
                shutil.copy(source / name, folder / name)
            if (settings := source / ".npmrc").exists():
                shutil.copy(settings, folder / settings.name)
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, check=True, timeout=INSTALL_S)
            (folder / "installed").touch()
    return folder / "node_modules"
