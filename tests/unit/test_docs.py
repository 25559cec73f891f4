"""The committed pages of docs/ are what the code says, and the README names what there is."""

from __future__ import annotations

import json
import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from relay.settings import Settings
from relay.sites.registry import SITES

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "browser_profiles" / "README.md"]


@pytest.fixture(scope="module")
def docs() -> ModuleType:
    spec = spec_from_file_location("docs_script", ROOT / "scripts" / "docs.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_current(docs: ModuleType) -> None:
    assert docs.stale() == [], "run scripts/docs"


def test_every_error_code_says_what_to_do(docs: ModuleType) -> None:
    codes = {kind.code for kind in docs.tree(docs.errors.RelayError)}
    assert codes == set(docs.WHAT_TO_DO)


def test_settings_called_without_effect_have_none(docs: ModuleType) -> None:
    names = {name for name, _, _ in docs.rows()}
    assert names >= docs.NOT_YET
    code = "".join(p.read_text("utf-8") for p in (ROOT / "relay").rglob("*.py") if p.name != "settings.py")
    for name in docs.NOT_YET:
        assert f".{name.rpartition('__')[2].removeprefix('RELAY_').lower()}" not in code, f"{name} has an effect now"


def test_value_names_resolve(docs: ModuleType) -> None:
    assert docs.value("RELAY_PORT", Settings.model_fields["port"].annotation) == "number"
    assert docs.value("RELAY_CLOCKS__IDLE_S", docs.field_of("RELAY_CLOCKS__IDLE_S")) == "seconds"
    assert docs.value("x", docs.field_of("RELAY_SITES__<ID>__MODE")) == "`shell`, `new`, `headed`"


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_readme_has_a_row_for_each_site(name: str) -> None:
    rows = [line for line in (ROOT / name).read_text("utf-8").splitlines() if line.startswith("| `")]
    assert [re.findall(r"`([^`]+)`", row)[0] for row in rows] == list(SITES)
    for site, row in zip(SITES.values(), rows, strict=True):
        assert all(f"`{driver}`" in row for driver in site.drivers)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_seccomp_profile_allows_user_namespaces_and_no_mounts() -> None:
    profile = json.loads((ROOT / "docker" / "seccomp.json").read_text("utf-8"))
    allowed = {name for rule in profile["syscalls"] if "args" not in rule for name in rule["names"]}
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert allowed >= {"clone", "clone3", "unshare", "setns", "chroot"}
    assert not allowed & {"mount", "umount2", "pivot_root", "bpf", "ptrace", "keyctl", "init_module", "kexec_load"}
