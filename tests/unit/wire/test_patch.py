from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.errors import BadFrame
from relay.wire.patch import CHATGPT, DEEPSEEK, MAX_DEPTH, Change, Deltas, Document, apply, gradio, pointer
from tests.unit.wire.cutting import json_values


def test_pointers() -> None:
    assert pointer("") == pointer("/") == ()
    assert pointer("response/fragments/-1/content") == ("response", "fragments", "-1", "content")
    assert pointer("/a~1b/~0c/0") == ("a/b", "~c", "0")
    assert pointer("/a~01") == ("a~1",)


@pytest.mark.parametrize(
    ("value", "op", "path", "v", "result"),
    [
        ("a", "append", [], "b", "ab"),
        (["a"], "append", [], ["b", "c"], ["a", "b", "c"]),
        (["a"], "append", [], "b", ["a", "b"]),
        ({"a": 1}, "append", [], {"b": 2}, {"a": 1, "b": 2}),
        ({"a": None}, "append", ["a"], "x", {"a": "x"}),
        ({}, "append", ["a"], "x", {"a": "x"}),
        ({"a": [["x"]]}, "APPEND", ["a", 0, -1], "y", {"a": [["xy"]]}),
        ({"a": 1}, "SET", ["b"], 2, {"a": 1, "b": 2}),
        ([1, 2], "replace", ["-1"], 3, [1, 3]),
        ([1, 2], "add", [1], 9, [1, 9, 2]),
        ([1, 2], "add", ["2"], 9, [1, 2, 9]),
        ([1, 2], "add", ["-"], 9, [1, 2, 9]),
        ({"a": 1}, "add", ["a"], 2, {"a": 2}),
        (1, "add", [], {"m": 1}, {"m": 1}),
        ([1, 2], "delete", [0], None, [2]),
        ({"a": 1}, "remove", ["a"], None, {}),
        ("abc", "delete", [], None, None),
        ("a😀bc", "truncate", [], 3, "a😀"),
        ([1, 2, 3], "truncate", [], 1, [1]),
    ],
)
def test_operations(value: Any, op: str, path: list[str | int], v: Any, result: Any) -> None:
    assert apply(value, op, path, v) == result


@pytest.mark.parametrize(
    ("value", "op", "path", "v"),
    [
        ("a", "append", [], 1),
        (1, "append", [], 1),
        ({}, "append", [], "x"),
        ("a", "move", [], "b"),
        ("a", "replace", [0], "b"),
        ({}, "replace", ["a", "b"], 1),
        ({"a": 1}, "replace", [0], 1),
        ([1], "replace", [1], 2),
        ([1], "replace", [-2], 2),
        ([1], "replace", ["a"], 2),
        ([1], "replace", ["9" * 5000], 2),
        ([1], "replace", [True], 2),
        ([1], "replace", [None], 2),
        ([1], "add", [2], 2),
        ({}, "delete", ["a"], None),
        ("a", "truncate", [], -1),
        ("a", "truncate", [], True),
    ],
)
def test_what_does_not_fit(value: Any, op: str, path: list[Any], v: Any) -> None:
    with pytest.raises(BadFrame):
        apply(value, op, path, v)


def test_the_gradio_samples() -> None:
    chat = [
        {"role": "user", "metadata": None, "content": [{"text": "why", "type": "text"}]},
        {"role": "assistant", "metadata": {"title": "Thinking", "status": "pending"}, "content": [{"text": "light"}]},
    ]
    document = Document(chat)
    assert gradio(document, []) == []
    changes = gradio(
        document, [["append", [1, "content", 0, "text"], " scatters"], ["replace", [1, "metadata", "status"], "done"]]
    )
    assert changes[0] == Change("append", (1, "content", 0, "text"), " scatters")
    gradio(document, [["add", [2], {"role": "assistant", "content": [{"text": "Because"}]}]])
    assert document.value[1] == {
        "role": "assistant",
        "metadata": {"title": "Thinking", "status": "done"},
        "content": [{"text": "light scatters"}],
    }
    assert document.value[2]["content"] == [{"text": "Because"}]
    pairs, plain = Document([["hello", "hi"]]), Document("hi")
    gradio(pairs, [["append", [0, 1], " there"]])
    gradio(plain, [["append", [], " there"]])
    assert (pairs.value, plain.value) == ([["hello", "hi there"]], "hi there")
    broken: list[Any] = [{}, [1], [["append"]], [["append", "a", "b"]], [[1, [], "b"]], [["append", [], "a", "b"]]]
    for bad in broken:
        with pytest.raises(BadFrame):
            gradio(Document("x"), bad)


def diff(old: Any, new: Any, path: list[str | int]) -> list[list[Any]]:
    """Gradio's way to describe a change (appended text, then pairwise, then the rest)."""
    if old == new and type(old) is type(new):
        return []
    if isinstance(old, str) and isinstance(new, str) and new.startswith(old):
        return [["append", path, new[len(old) :]]]
    if isinstance(old, list) and isinstance(new, list):
        both = min(len(old), len(new))
        edits = [edit for i in range(both) for edit in diff(old[i], new[i], [*path, i])]
        edits += [["delete", [*path, i], None] for i in range(len(old) - 1, both - 1, -1)]
        return edits + [["add", [*path, i], new[i]] for i in range(both, len(new))]
    if isinstance(old, dict) and isinstance(new, dict):
        edits = [["delete", [*path, key], None] for key in old if key not in new]
        for key, value in new.items():
            edits += diff(old[key], value, [*path, key]) if key in old else [["add", [*path, key], value]]
        return edits
    return [["replace", path, new]]


@given(st.lists(json_values, min_size=2, max_size=5), st.lists(st.booleans(), min_size=5))
def test_gradio_diffs_lead_to_the_new_value(values: list[Any], read: list[bool]) -> None:
    document = Document(copy.deepcopy(values[0]))
    for old, new, look in zip(values, values[1:], read, strict=False):
        gradio(document, copy.deepcopy(diff(old, new, [])))
        assert not look or document.value == new
    assert document.value == values[-1]


def run(deltas: Deltas, *lines: str) -> list[Change]:
    return [change for line in lines for change in deltas.feed(json.loads(line))]


def test_the_deepseek_sample() -> None:
    deltas = Deltas(DEEPSEEK)
    changes = run(
        deltas,
        '{"v":{"response":{"status":"WIP","fragments":[{"id":2,"type":"THINK","content":"The","elapsed_secs":null}]}}}',
        '{"p":"response/fragments/-1/content","o":"APPEND","v":" user"}',
        '{"v":" asks about tea."}',
        '{"p":"response/fragments/-1/elapsed_secs","o":"SET","v":1.9}',
        '{"p":"response","o":"BATCH","v":[{"p":"fragments","o":"APPEND","v":[{"id":3,"content":null,"results":[]}]}]}',
        '{"p":"response/fragments/-1/results","o":"SET","v":[{"url":"https://tea.example/a"}]}',
        '{"p":"response/fragments/-1","o":"BATCH","v":[{"p":"status","v":"FINISHED"},{"p":"content","v":"1 page"}]}',
        '{"p":"response/fragments","v":[{"id":4,"type":"RESPONSE","content":"Green","references":[]}]}',
        '{"p":"response/fragments/-1/content","v":" tea"}',
        '{"v":" is mild"}',
        '{"p":"response/fragments/-1","o":"BATCH","v":[{"p":"content","o":"APPEND","v":"[reference:0]"},{"p":"references","v":[{"id":3}]}]}',
        '{"v":"."}',
        '{"p":"response","v":[{"p":"accumulated_token_usage","v":96},{"p":"quasi_status","v":"FINISHED"}]}',
        '{"p":"response/status","v":"FINISHED"}',
    )  # fmt: skip
    assert deltas.document.value == {
        "response": {
            "status": "FINISHED",
            "accumulated_token_usage": 96,
            "quasi_status": "FINISHED",
            "fragments": [
                {"id": 2, "type": "THINK", "content": "The user asks about tea.", "elapsed_secs": 1.9},
                {"id": 3, "content": "1 page", "results": [{"url": "https://tea.example/a"}], "status": "FINISHED"},
                {"id": 4, "type": "RESPONSE", "content": "Green tea is mild[reference:0].", "references": [{"id": 3}]},
            ],
        }
    }
    answer = [c.value for c in changes if c.op == "append" and c.path == ("response", "fragments", 2, "content")]
    assert answer == [" tea", " is mild", "[reference:0]", "."]


def test_a_deepseek_batch_without_a_path_is_about_the_response() -> None:
    deltas = Deltas(DEEPSEEK)
    run(
        deltas,
        '{"v":{"response":{"fragments":[{"type":"RESPONSE","content":"No"}]}}}',
        '{"p":"response/fragments/-1/content","o":"APPEND","v":"w"}',
        '{"o":"BATCH","v":[{"p":"ban_regenerate","v":true},{"p":"fragments","v":[{"type":"TEMPLATE_RESPONSE"}]}]}',
    )
    assert deltas.document.value == {"response": {"ban_regenerate": True, "fragments": [{"type": "TEMPLATE_RESPONSE"}]}}


def test_the_chatgpt_sample() -> None:
    deltas = Deltas(CHATGPT)
    run(
        deltas,
        '{"p":"","o":"add","v":{"message":{"content":{"thoughts":[]}}},"c":1}',
        '{"p":"/message/content/thoughts","o":"append","v":[{"summary":"Adding","content":"Two plus two"}]}',
        '{"p":"/message/content/thoughts/0/content","v":" is four."}',
    )
    assert deltas.document.value["message"]["content"]["thoughts"][0]["content"] == "Two plus two is four."
    run(
        deltas,
        '{"p":"","o":"add","v":{"message":{"content":{"parts":[""]},"status":"in_progress","metadata":{"model_slug":"g"}}},"c":2}',
        '{"p":"/message/content/parts/0","o":"append","v":"The sum"}',
        '{"v":" is 4"}',
        '{"p":"","o":"patch","v":[{"p":"/message/content/parts/0","o":"append","v":"."},{"p":"/message/status","o":"replace","v":"ok"},'
        '{"p":"/message/metadata","o":"append","v":{"is_complete":true}}]}',
        '{"v":[{"p":"/message/end_turn","o":"replace","v":true}]}',
    )  # fmt: skip
    assert deltas.document.value["message"] == {
        "content": {"parts": ["The sum is 4."]},
        "status": "ok",
        "metadata": {"model_slug": "g", "is_complete": True},
        "end_turn": True,
    }


def test_mistral_and_perplexity_patches() -> None:
    mistral = Document()
    for op, path, v in [
        ("replace", "/", {"contentChunks": None}),
        ("replace", "/contentChunks", [{"text": "Add"}]),
        ("append", "/contentChunks/0/text", " two"),
        ("add", "/contentChunks/1", {"text": "Two"}),
    ]:
        mistral.apply(op, pointer(path), v)
    assert mistral.value == {"contentChunks": [{"text": "Add two"}, {"text": "Two"}]}


def test_limits() -> None:
    document = Document("", limit=1000)
    for _ in range(100):
        document.apply("append", (), "x" * 10)
    with pytest.raises(BadFrame):
        document.apply("append", (), "x")
    slots = Document([], limit=1000)
    with pytest.raises(BadFrame):
        for _ in range(1001):
            slots.apply("append", (), [""])
    replaced = Document({"text": ""}, limit=1000)
    for _ in range(100):  # what is replaced no longer counts
        replaced.apply("replace", ("text",), "x" * 900)
        replaced.apply("append", ("text",), "x" * 90)
    assert len(replaced.value["text"]) == 990


def test_depth_is_bounded() -> None:
    nested: Any = 1
    for _ in range(MAX_DEPTH):
        nested = [nested]
    assert Document().apply("replace", (), nested).op == "replace"
    with pytest.raises(BadFrame):
        Document([nested, nested, [nested]])
    with pytest.raises(BadFrame):
        Document([0]).apply("replace", (0,), [nested])
    with pytest.raises(BadFrame):
        Document().apply("replace", ("a",) * (MAX_DEPTH + 1), 1)
    batch: Any = []
    for _ in range(MAX_DEPTH + 2):
        batch = [{"p": "", "o": "BATCH", "v": batch}]
    with pytest.raises(BadFrame):
        Deltas(DEEPSEEK).feed({"p": "", "o": "BATCH", "v": batch})


def test_a_string_that_grows_moves_with_its_list() -> None:
    document = Document(["a", "b"])
    document.apply("append", (1,), "c")
    document.apply("add", (0,), "new")
    document.apply("append", (2,), "d")
    document.apply("delete", (0,), None)
    document.apply("append", (0,), "!")
    document.apply("truncate", (1,), 2)
    assert document.value == ["a!", "bc"]
    document.apply("append", (0,), "?")
    document.apply("delete", (0,), None)
    document.apply("append", (0,), "d")
    assert document.value == ["bcd"]


def test_a_long_string_appended_many_times_is_linear() -> None:
    """100,000 copies of up to 3 MB would be 150 GB: the suite's time-out. A second field changes at every step."""
    deltas = Deltas(DEEPSEEK)
    run(deltas, '{"v":{"response":{"n":0,"content":"é"}}}', '{"p":"response/content","o":"APPEND","v":""}')
    for n in range(100_000):
        deltas.feed({"v": "thirty characters of an answer"})
        deltas.feed({"o": "BATCH", "v": [{"p": "n", "v": n}]})
    value = deltas.document.value["response"]
    assert value == {"n": 99_999, "content": "é" + "thirty characters of an answer" * 100_000}


ops = st.sampled_from(["append", "replace", "SET", "add", "delete", "remove", "truncate", "BATCH", "patch", "x", None])
paths = st.sampled_from([None, "", "/", "a", "/a/0", "a/-1", "a/-1/a", "0", "-", "b~0"]) | st.text("ab/-0~", max_size=6)
patches = st.recursive(
    st.fixed_dictionaries({}, optional={"p": paths | json_values, "o": ops | json_values, "v": json_values}),
    lambda inner: st.fixed_dictionaries(
        {"o": st.just("BATCH"), "v": st.lists(inner, max_size=3)}, optional={"p": paths}
    ),
    max_leaves=5,
)


@example(CHATGPT, {}, [{"p": "", "o": "delete"}, {"p": "", "o": "delete"}])
@example(CHATGPT, {}, [{"p": "", "o": "delete"}, {"p": "", "o": "truncate", "v": 1}])
@given(st.sampled_from([CHATGPT, DEEPSEEK]), json_values, st.lists(patches | json_values, max_size=8))
def test_garbage_never_raises_anything_but_bad_frame(dialect: Any, value: Any, garbage: list[Any]) -> None:
    deltas = Deltas(dialect, Document(value))
    for patch in garbage:
        try:
            assert all(isinstance(change, Change) for change in deltas.feed(patch))
        except BadFrame:
            continue
    json.dumps(deltas.document.value)  # no buffer is left in it


@given(
    json_values, st.lists(st.tuples(st.text(max_size=7), st.lists(json_values, max_size=3), json_values), max_size=4)
)
def test_gradio_garbage(value: Any, diff: list[Any]) -> None:
    document = Document(value)
    for edit in [*diff, ["append", [], "x"]]:
        try:
            gradio(document, [list(edit)])
        except BadFrame:
            continue
    json.dumps(document.value)
