"""Logins from files: every form, foreign and expired things, what is none, and out again."""

from __future__ import annotations

import copy
import gzip
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from relay.errors import BadRequest
from relay.pool import state_files
from relay.pool.bounded_json import MAX_DEPTH, MAX_PARTS
from relay.pool.cookie_files import LATEST, MAX_COOKIES
from relay.pool.profiles import Profile
from relay.pool.sealing import Keyring
from relay.pool.site_hosts import SiteHosts, registrable
from relay.pool.state_files import export, read_state, write_export
from relay.sites.demo.site import Demo
from relay.sites.gradio.site import Gradio
from tests.unit.pool.logins import (
    COOKIE,
    EXTENSION,
    FOREIGN,
    LATER,
    NETSCAPE,
    NOW_S,
    ORIGIN,
    SECRET,
    STATE,
    cookie,
    read,
    refusal,
)

# forms


def test_a_playwright_state_comes_back_as_it_was() -> None:
    assert read(STATE) == STATE


def test_a_byte_order_mark_windows_lines_and_spaces_do_no_harm() -> None:
    raw = b"\xef\xbb\xbf\r\n " + json.dumps(STATE, indent=2).replace("\n", "\r\n").encode()
    assert read(raw) == STATE
    assert read(b"\xef\xbb\xbf" + NETSCAPE.replace("\n", "\r\n").encode()) == read(NETSCAPE.encode())


def test_an_account_file_of_aistudio_to_api_is_a_state_with_more_in_it() -> None:
    assert read({"accountName": "ann@example.com", "expired": True, **STATE}) == STATE


def test_cookies_without_origins_and_origins_without_cookies() -> None:
    assert read({"cookies": [COOKIE]}) == {"cookies": [COOKIE], "origins": []}
    assert read({"origins": [ORIGIN]}) == {"cookies": [], "origins": [ORIGIN]}
    bare = {"origin": "https://www.kimi.com/", "indexedDB": ORIGIN["indexedDB"]}
    assert read({"origins": [bare]})["origins"] == [
        {"origin": "https://www.kimi.com", "localStorage": [], "indexedDB": ORIGIN["indexedDB"]}
    ]


def test_the_export_of_a_cookie_extension() -> None:
    expected = [
        COOKIE | {"expires": LATER + 0.25, "sameSite": "None"},
        {
            "name": "theme",
            "value": "dark",
            "domain": "www.kimi.com",
            "path": "/",
            "expires": -1,
            "httpOnly": False,
            "secure": False,
            "sameSite": "Lax",
        },
    ]
    assert read(EXTENSION) == {"cookies": expected, "origins": []}
    assert read({"url": "https://www.kimi.com", "cookies": EXTENSION})["cookies"] == expected


def test_a_netscape_file() -> None:
    [auth, theme, empty] = read(NETSCAPE.encode())["cookies"]
    assert auth == COOKIE
    assert (theme["domain"], theme["path"], theme["expires"], theme["httpOnly"]) == ("www.kimi.com", "/chat", -1, False)
    assert (empty["name"], empty["value"]) == ("empty", "")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("no_restriction", "None"),
        ("None", "None"),
        ("strict", "Strict"),
        ("Lax", "Lax"),
        ("unspecified", "Lax"),
        ("", "Lax"),
        (None, "Lax"),
    ],
)
def test_same_site_by_all_its_names(written: str | None, meant: str) -> None:
    assert read([cookie(sameSite=written)])["cookies"][0]["sameSite"] == meant


def test_same_site_none_needs_secure() -> None:
    assert read([cookie(sameSite="no_restriction", secure=False)])["cookies"][0]["sameSite"] == "Lax"


@pytest.mark.parametrize(
    ("domain", "host_only", "meant"),
    [
        (".kimi.com", True, "kimi.com"),
        ("kimi.com", False, ".kimi.com"),
        ("Kimi.COM", None, "kimi.com"),
        (".kimi.com", None, ".kimi.com"),
    ],
)
def test_whether_subdomains_have_a_cookie(domain: str, host_only: bool | None, meant: str) -> None:
    assert read([cookie(domain=domain, hostOnly=host_only)])["cookies"][0]["domain"] == meant


def test_partitioned_cookies_keep_their_partition() -> None:
    ours = {"partitionKey": "https://kimi.com", "_crHasCrossSiteAncestor": True}
    theirs = {"partitionKey": {"topLevelSite": "https://kimi.com", "hasCrossSiteAncestor": True}}
    for written in (ours, theirs):
        assert read([COOKIE | written])["cookies"] == [COOKIE | ours]
    assert read([cookie(partitionKey=None)])["cookies"] == [COOKIE]
    assert "partitionKey" in refusal([cookie(partitionKey=SECRET)])


def test_of_two_alike_the_later_one_counts() -> None:
    assert read([cookie(value="old"), COOKIE])["cookies"] == [COOKIE]


def test_a_time_beyond_what_a_browser_knows_is_its_last() -> None:
    assert read([cookie(expires=10**30)])["cookies"][0]["expires"] == LATEST


# whose is it


def test_what_is_foreign_is_left_out() -> None:
    foreign = ORIGIN | {"origin": "https://bank.example"}
    assert read({"cookies": [FOREIGN, COOKIE], "origins": [foreign, ORIGIN]}) == STATE


def test_a_state_of_other_sites_is_refused_with_their_names() -> None:
    said = refusal({"cookies": [FOREIGN], "origins": [ORIGIN | {"origin": "https://shop.example:8443"}]})
    assert "bank.example" in said
    assert "shop.example:8443" in said
    assert "Kimi" in said
    many = refusal([cookie(domain=f"h{number}.example") for number in range(50)])
    assert "…" in many


@pytest.mark.parametrize("domain", [".kimi.com", "www.kimi.com", "auth.kimi.ai", "kimi.moonshot.cn", ".moonshot.cn"])
def test_hosts_that_a_site_declares(domain: str) -> None:
    assert read([cookie(domain=domain)])["cookies"]


@pytest.mark.parametrize("domain", ["notkimi.com", ".com", "kimi.com.evil.example", "kimi.com.cn", "cn", "127.0.0.1"])
def test_hosts_that_only_look_like_it(domain: str) -> None:
    assert domain.removeprefix(".") in refusal([cookie(domain=domain)])


def test_an_account_at_an_address_of_its_own() -> None:
    local = [cookie(domain="127.0.0.1", secure=False)]
    assert read(local, Demo, "http://127.0.0.1:4711/")["cookies"]
    assert "--base-url" in refusal([cookie(domain="ann-app.hf.space")], Gradio)
    space = "https://ann-app.hf.space/"
    assert read([cookie(domain="ann-app.hf.space")], Gradio, space)["cookies"]
    assert "bob" in refusal([cookie(domain="bob-app.hf.space")], Gradio, space)
    inside = "https://chat.intra.co.uk/"
    assert read([cookie(domain=".intra.co.uk")], Gradio, inside)["cookies"], "the browser sends it there"
    assert refusal([cookie(domain="intra.co.uk")], Gradio, inside), "the browser does not"
    assert refusal([cookie(domain=".co.uk")], Gradio, inside)
    assert read([cookie(domain="[::1]")], Gradio, "http://[::1]:7860/")["cookies"]
    assert "base_url" in refusal(STATE, Gradio, "file:///etc/passwd")


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("www.kimi.com", "kimi.com"),
        ("chat.a.com.cn", "a.com.cn"),
        ("a.co.uk", "a.co.uk"),
        ("x.y.ai", "y.ai"),
        ("localhost", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]"),
    ],
)
def test_the_domain_of_a_host(host: str, domain: str) -> None:
    assert registrable(host) == domain


def test_a_site_that_declares_nothing_has_its_address_domain() -> None:
    class Chat(Demo):
        id, name, address = "chat", "Chat", "https://chat.maker.com.cn/"

    hosts = SiteHosts.of(Chat)
    assert hosts.own(".maker.com.cn")
    assert hosts.own("api.maker.com.cn")
    assert not hosts.own("other.com.cn")


# expired


def test_expired_cookies_are_left_out() -> None:
    assert read([cookie(name="old", expires=NOW_S - 1), COOKIE])["cookies"] == [COOKIE]
    old = {"cookies": [cookie(expires=NOW_S)], "origins": [ORIGIN]}
    assert read(old) == {"cookies": [], "origins": [ORIGIN]}


def test_nothing_but_expired_cookies_says_so() -> None:
    said = refusal([cookie(expires=NOW_S - 1), FOREIGN])
    assert "expired" in said
    assert "1 more" in said
    assert "expired" in refusal(f".kimi.com\tTRUE\t/\tTRUE\t1000\ta\t{SECRET}".encode())


# what is no state


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b" \r\n\t ", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (SECRET.encode(), "no known form"),
        (b"# only\n# comments\t\n", "no cookie"),
        (f"{SECRET}\tb".encode(), "line 1"),
        (f"# x\n\n.kimi.com\tTRUE\t/\tTRUE\tsoon\ta\t{SECRET}".encode(), "line 3"),
        (gzip.compress(json.dumps(STATE).encode()), "gzip"),
        (b"PK\x03\x04" + b"x" * 99, "zip"),
        (json.dumps(STATE).encode("utf-16"), "UTF-16"),
        (b"SQLite format 3\0" + b"x" * 99, "database"),
        (b"relay-sealed\x01" + b"x" * 99, "relay accounts export"),
        (b'{"cookies": "\xff\xfe"}', "UTF-8"),
        (b".kimi.com\tTRUE\t/\tTRUE\t0\ta\t\xff", "UTF-8"),
        (b"{}", "no cookies and no origins"),
        (b"[]", "no cookie"),
        (b"[1]", "cookie 1"),
        (b'{"cookies": {}}', "not a list"),
        (b'{"origins": {}}', "not a list"),
        (b'{"origins": [1]}', "origin 1"),
        (b'{"cookies": [], "cookies": []}', "twice"),
        (b'[{"domain": ".kimi.com", "name": "a", "value": "b", "expires": NaN}]', "NaN"),
        (b'[{"domain": ".kimi.com", "name": "a", "value": "b", "expires": 1e999}]', "too large"),
        (b'[{"domain": ".kimi.com", "name": "a", "value": "b", "expires": -Infinity}]', "Infinity"),
        (b"[" + b"9" * 100_000 + b"]", "too large"),
        (b"[" * (MAX_DEPTH + 1), "nested"),
        (b'{"a":' * 100_000, "nested"),
        (b"[" + b"[]," * MAX_PARTS + b"[]]", "parts"),
        (b"[" + b",".join([b'{"domain":"a.b"}'] * (MAX_COOKIES + 1)) + b"]", str(MAX_COOKIES)),
        (b".a.b\tTRUE\t/\tTRUE\t0\ta\tb\n" * (MAX_COOKIES + 1), str(MAX_COOKIES)),
        (b'{"accounts": [{"providerId": "kimi", "credentials": {"token": "s3cr3t-v4lue"}}]}', "--token-stdin"),
        (b'{"providerId": "kimi", "credentials": {"token": "s3cr3t-v4lue"}}', "--token-stdin"),
    ],
)
def test_what_cannot_be_used_says_why(content: bytes, says: str) -> None:
    assert says in refusal(content)


def test_a_file_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_files, "MAX_STATE_BYTES", 99)
    assert "at most 99" in refusal(b" " * 100)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": 3}, "name"),
        ({"value": None}, "value"),
        ({"value": f"{SECRET};"}, "no cookie may hold"),
        ({"value": f"{SECRET}\n"}, "no cookie may hold"),
        ({"value": f" {SECRET}"}, "space"),
        ({"value": SECRET * 400}, "4096"),
        ({"value": "\ud800"}, "value"),
        ({"name": "a="}, "no cookie may hold"),
        ({"name": "", "value": ""}, "no cookie may hold"),
        ({"path": "chat"}, "path"),
        ({"path": "/" * 2000}, "path"),
        ({"expires": SECRET}, "expires"),
        ({"expires": True}, "expires"),
        ({"httpOnly": SECRET}, "httpOnly"),
        ({"sameSite": SECRET}, "sameSite"),
        ({"sameSite": 7}, "sameSite"),
        ({"domain": SECRET + " !"}, "domain"),
        ({"domain": 3}, "domain"),
        ({"domain": ""}, "domain"),
        ({"domain": "a" * 300}, "domain"),
        ({"name": "__Host-a"}, "prefix"),
        ({"name": "__secure-a", "secure": False}, "prefix"),
        ({"name": "__Http-a", "httpOnly": False}, "prefix"),
    ],
)
def test_a_cookie_that_no_browser_would_hold(changes: dict[str, object], says: str) -> None:
    said = refusal([cookie(name="fine"), cookie(**changes)])
    assert says in said
    assert "cookie 2" in said


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (["origin"], "www.kimi.com", "https://host"),
        (["origin"], "https://u:p@www.kimi.com", "https://host"),
        (["origin"], 3, "origin"),
        (["localStorage"], {}, "localStorage"),
        (["localStorage", 0], SECRET, "localStorage 1"),
        (["localStorage", 0, "value"], 3, "value"),
        (["localStorage", 0, "value"], "秘" * 6_000_000, "more in localStorage"),
        (["indexedDB", 0, "version"], 0, "version"),
        (["indexedDB", 0, "version"], "3", "version"),
        (["indexedDB", 0, "stores", 0, "records"], SECRET, "records"),
        (["indexedDB", 0, "stores", 0, "records", 0], {}, "record 1"),
        (["indexedDB", 0, "stores", 0, "indexes", 0, "unique"], 1, "unique"),
        (["indexedDB", 0, "stores", 0, "keyPath"], 1, "keyPath"),
        (["indexedDB", 0, "stores", 0, "keyPathArray"], [1], "keyPathArray"),
    ],
)
def test_storage_that_is_not_as_playwright_writes_it(path: list[Any], value: object, says: str) -> None:
    state = copy.deepcopy(STATE)
    target = state["origins"][0]
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    assert says in refusal(state)


def test_storage_of_an_origin_or_of_a_database_twice() -> None:
    assert "twice" in refusal({"origins": [ORIGIN, ORIGIN]})
    assert "same name" in refusal({"origins": [ORIGIN | {"indexedDB": [*ORIGIN["indexedDB"], *ORIGIN["indexedDB"]]}]})


def test_more_origins_than_can_be_restored() -> None:
    many = [ORIGIN | {"origin": f"https://h{number}.kimi.com"} for number in range(201)]
    assert "200" in refusal({"origins": many})
    assert read({"origins": [*(ORIGIN | {"origin": f"https://h{n}.example"} for n in range(201)), ORIGIN]})


# out again


def profile(folder: Path, keys: Keyring | None = None) -> Profile:
    folder.mkdir(parents=True, exist_ok=True)
    return Profile("kimi", "ann", folder, keys)


def test_an_exported_login_is_read_on_another_machine(tmp_path: Path) -> None:
    ours = profile(tmp_path / "ann", Keyring(["correct horse"]))
    ours.save(STATE)
    settings_text = 'label = "März"\nproxy = "http://127.0.0.1:1"\n'
    (ours.folder / "account.toml").write_text(settings_text, "utf-8")
    file = tmp_path / "ann.json"
    write_export(ours, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    raw = file.read_bytes()
    made = json.loads(raw)
    assert (made["version"], made["site"], made["account"]) == (1, "kimi", "ann")
    assert made["account_toml"] == settings_text
    assert read(raw) == STATE
    with pytest.raises(BadRequest, match=r"of kimi, not of demo"):
        read_state(raw, Demo)
    assert "another version" in refusal(made | {"version": 2})
    assert SECRET not in refusal(made | {"site": SECRET})
    assert "state" in refusal({"site": "kimi", "state": [], "version": 1, "account": "ann"})


def test_an_export_cut_off_at_every_length(tmp_path: Path) -> None:
    ours = profile(tmp_path)
    ours.save(STATE)
    raw = export(ours)
    for length in range(len(raw) - 1):
        refusal(raw[:length])


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    ours = profile(tmp_path)
    with pytest.raises(BadRequest, match="nothing to export"):
        export(ours)
    ours.state_file.write_text('{"cookies": [{"expires": NaN}]}')
    with pytest.raises(BadRequest, match="damaged"):
        export(ours)
    ours.save(STATE)
    (ours.folder / "account.toml").write_text("labl = 3")
    with pytest.raises(BadRequest, match="labl"):
        export(ours)
    sealed = profile(tmp_path / "sealed", Keyring(["one"]))
    sealed.save(STATE)
    with pytest.raises(BadRequest, match="RELAY_PROFILE_KEY"):
        export(profile(tmp_path / "sealed", Keyring(["another"])))
