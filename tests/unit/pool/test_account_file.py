"""account.toml: what it may say, and errors that lead to the line."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.errors import BadRequest
from relay.pool import pacing
from relay.pool.account_file import MAX_BYTES, AccountFile, Limits, RateTable, parse_account_file
from relay.pool.profiles import Profile

FILE = Path("/home/ann/account.toml")


def refusal(content: str | bytes) -> str:
    with pytest.raises(BadRequest) as caught:
        parse_account_file(content.encode() if isinstance(content, str) else content, FILE)
    return caught.value.message


def test_every_key_is_taken() -> None:
    content = """
        label = "work"
        proxy = "socks5://127.0.0.1:1080"
        base_url = "https://a.example/"
        locale = "zh-CN"
        timezone = "Asia/Shanghai"
        notes = "März"
        disabled = true
        [options]
        anything = [1, 2]
        [limits]
        concurrency = 2
        min_gap_s = 1
        windows = [[30, 10800], [100, 86400.5]]
        [limits.models."k2.5"]
        min_gap_s = 2.5
        windows = [[5, 60]]
    """
    found = parse_account_file(b"\xef\xbb\xbf" + content.replace("\n", "\r\n").encode(), FILE)
    assert found == AccountFile(
        label="work",
        proxy="socks5://127.0.0.1:1080",
        base_url="https://a.example/",
        locale="zh-CN",
        timezone="Asia/Shanghai",
        notes="März",
        disabled=True,
        options={"anything": [1, 2]},
        limits=Limits(
            concurrency=2,
            min_gap_s=1.0,
            windows=((30, 10800.0), (100, 86400.5)),
            models={"k2.5": RateTable(min_gap_s=2.5, windows=((5, 60.0),))},
        ),
    )


def test_the_limits_go_to_the_pacing_as_they_are() -> None:
    content = b'[limits]\nwindows = [[30, 10800]]\n[limits.models."k2.5"]\nmin_gap_s = 2'
    assert parse_account_file(content, FILE).limits.pace() == pacing.Limits(
        windows=((30, 10800.0),), models={"k2.5": pacing.Rate(min_gap_s=2.0)}
    )
    assert AccountFile().limits.pace() == pacing.Limits()


def test_what_is_left_out_limits_nothing() -> None:
    assert parse_account_file(b"", FILE) == AccountFile()
    assert AccountFile().limits == Limits(concurrency=None, min_gap_s=0, windows=(), models={})


@pytest.mark.parametrize(
    ("content", "line", "field", "allowed"),
    [
        ("\n\nbase_url = 3", 3, "base_url", "the site's address"),
        ("[limits]\n# many\nconcurrency = 0", 3, "limits.concurrency", "from 1 to 256"),
        ("limits.concurrency = 257", 1, "limits.concurrency", "from 1 to 256"),
        ("label = 'a'\nlimits = { concurrency = 'many' }", 2, "limits.concurrency", "from 1 to 256"),
        ("limits = { min_gap_s = 1, concurrency = 0 }", 1, "limits.concurrency", "from 1 to 256"),
        ("[limits]\nmin_gap_s = -1", 2, "limits.min_gap_s", "0 or more"),
        ("[limits]\nmin_gap_s = nan", 2, "limits.min_gap_s", "0 or more"),
        ("[limits]\nmin_gap_s = inf", 2, "limits.min_gap_s", "0 or more"),
        ("[limits]\nwindows = [30, 10800]", 2, "limits.windows.0", "[[30, 10800]]"),
        ("[limits]\nwindows = [\n  [30, 60],\n  [0, 60],\n]", 2, "limits.windows.1.0", "[[30, 10800]]"),
        ("[limits]\nwindows = [[30, 0]]", 2, "limits.windows.0.1", "[[30, 10800]]"),
        ("[limits]\nwindows = [[30]]", 2, "limits.windows.0.1", "[[30, 10800]]"),
        (f"[limits]\nwindows = {[[1, 1]] * 17}", 2, "limits.windows", "at most 16"),
        ('[limits.models."a.b"]\n\nmin_gap_s = "x"', 3, 'limits.models."a.b".min_gap_s', "0 or more"),
        ('[limits]\nmodels."a b" = 3', 2, 'limits.models."a b"', "[limits.models"),
        ("[limits.models]\n[limits.models.a]\n[[limits.models.b]]", 3, "limits.models.b", "[limits.models"),
        ("disabled = 'perhaps'", 1, "disabled", "true or false"),
        ("label = 'a'\n[[limits]]\nconcurrency = 1", 2, "limits", "a table"),
        ("notes = '''\n[limits]\nproxy = 1\n'''\nproxy = 2", 5, "proxy", "http://host:port"),
        ('notes = """\\"""" # """\nproxy = 2', 2, "proxy", "http://host:port"),
        ("options.x = [\"]\", '[', # [\n]\nproxy = 2", 3, "proxy", "http://host:port"),
    ],
)
def test_a_wrong_value_is_named_with_line_field_and_what_is_allowed(
    content: str, line: int, field: str, allowed: str
) -> None:
    told = refusal(content)
    assert told.startswith(f"{FILE}, line {line}: {field}: ")
    assert allowed in told.partition("Allowed: ")[2]


@pytest.mark.parametrize(
    ("content", "line", "field", "guess"),
    [
        ("\nbse_url = 'x'", 2, "bse_url", "base_url"),
        ("[limit]\nconcurrency = 1", 1, "limit", "limits"),
        ("[limits]\nmin_gap = 1", 2, "limits.min_gap", "min_gap_s"),
        ('[limits.models."k2"]\nwindow = []', 2, "limits.models.k2.window", "windows"),
        ("[limits.models.k2]\nconcurrency = 1", 2, "limits.models.k2.concurrency", None),
        ("zzz = 1", 1, "zzz", None),
    ],
)
def test_an_unknown_key_is_named_and_the_nearest_is_offered(
    content: str, line: int, field: str, guess: str | None
) -> None:
    told = refusal(content)
    assert told.startswith(f"{FILE}, line {line}: there is no {field}")
    assert (f'did you mean "{guess}"?' in told) == (guess is not None)
    assert " windows" in told.partition("Allowed: ")[2] or "limits" in told.partition("Allowed: ")[2]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("label = 'unclosed", 1),
        ("label = 'a'\nlabel = 'b'", 2),
        ("label = 'a'\n[limits", 2),
        ("label = 'a'\n\noptions = [1,\n2", 4),
        ("\nlabel", 2),
        ("\n\x00", 2),
        ("x = 1\ny = " + "9" * 5000, 2),
        ("x = 1\n\ny = " + "[" * 20_000 + "]" * 20_000, 3),
        (b"x = 1\n# \xff", 2),
        (b"\x7fELF\x02\x01\x01\x00\x00", 1),
        ("\nlabel = '" + "a" * 40_000, 2),
    ],
)
def test_what_is_no_toml_is_said_with_its_line(content: str | bytes, line: int) -> None:
    told = refusal(content)
    assert told.startswith(f"{FILE}, line {line}: not valid TOML: ")
    assert len(told) < 400


def test_all_that_is_wrong_is_told_in_the_order_of_lines_but_not_without_end() -> None:
    told = refusal("zzz = 1\nproxy = 1\nlabel = 1\nnotes = 1\n[limits]\nconcurrency = 0")
    assert [told.index(f"line {line}: ") for line in (1, 2, 3)] == sorted(told.index(f"line {n}: ") for n in (1, 2, 3))
    assert told.endswith("(2 more.)")


def test_a_value_is_never_told() -> None:
    assert "hunter2" not in refusal("proxy = ['http://me:hunter2@host']")


@pytest.mark.parametrize(
    "content",
    [
        "\n".join(f"key{number} = 1" for number in range(5000)),
        "options" + ".a" * 30_000 + " = 1",
        '["' + '"."'.join("a" * 15_000) + '"]',
        "{" * 60_000,
        '"' * 60_000,
        "k" * 60_000 + " = 1",
        "proxy = " + "[" * 300 + "1" + "]" * 300,
    ],
    ids=lambda content: content[:12],
)
def test_a_hostile_file_is_refused_briefly(content: str) -> None:
    told = refusal(content)
    assert told.startswith(f"{FILE}, line 1: ")
    assert len(told) < 800


def test_a_huge_file_is_refused_and_left(tmp_path: Path) -> None:
    file = tmp_path / "account.toml"
    content = b"notes = '" + b"x" * 1_000_000 + b"'"
    file.write_bytes(content)
    with pytest.raises(BadRequest, match=rf"account\.toml has 1000010 bytes; at most {MAX_BYTES}"):
        Profile("demo", "ann", tmp_path).settings()
    assert file.read_bytes() == content


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "account.toml").mkdir()
    with pytest.raises(BadRequest, match=r"account\.toml is not a file"):
        Profile("demo", "ann", tmp_path).settings()


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_an_account_file_or_a_refusal(content: bytes) -> None:
    try:
        parse_account_file(content, FILE)
    except BadRequest as error:
        assert error.message.startswith(f"{FILE}, line ")


keys = st.sampled_from(["label", "proxy", "'limits'", "limits.models.x", "options . y", "disabled", '"a#]b"'])
values = st.sampled_from(
    ["1", "'x'", '"""\n#[\n\\""""', "'''\n]'''", "[\n1, # ]\n]", "{ a = '}' }", "[[1, 2]]", "true"]
)
lines = st.one_of(
    st.builds("{} = {}".format, keys, values),
    st.builds("[{}]".format, keys),
    st.sampled_from(["", "# '''", "  "]),
)


@settings(deadline=None)
@given(st.lists(lines, max_size=12).map("\n".join))
@example("a = '''\n'''\n[limits]\nb = 1")
def test_the_line_is_where_the_first_fault_begins(content: str) -> None:
    """Found again with tomllib alone: what stands before is without fault, and with the whole statement it is not."""
    try:
        tomllib.loads(content)
        parse_account_file(content.encode(), FILE)
    except tomllib.TOMLDecodeError:
        return
    except BadRequest as error:
        line = int(error.message.removeprefix(f"{FILE}, line ").partition(":")[0])
        every = content.split("\n")
        parse_account_file("\n".join(every[: line - 1]).encode(), FILE)
        refusal(next(text for end in range(line, len(every) + 1) if is_toml(text := "\n".join(every[:end]))))


def is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True
