"""The Claude replica is as strict as its fact sheet: right calls pass, and each thing that is wrong is refused."""

from __future__ import annotations

import hashlib
from uuid import uuid4

import pytest

from tests.replicas import Answer, Replicas, Scenario
from tests.replicas.claude import organization
from tests.replicas.claude.asking import answer_id, ask, begin, client, deltas, post, refusal, text
from tests.replicas.claude.calls import (
    chats,
    completion_body,
    completion_call,
    completion_headers,
    create_params,
)
from tests.replicas.claude.requests import ROOT

HOST = "claude.ai"


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("content-type", "text/plain", 415),
        ("accept", "application/json", 400),
        ("anthropic-client-platform", "ios", 400),
        ("origin", "https://example.org", 403),
    ],
)
async def test_each_wrong_header_is_refused(replicas: Replicas, header: str, value: str, status: int) -> None:
    call = completion_call("c-strict", str(uuid4()), "hi", create_conversation_params=create_params())
    call["headers"][header] = value
    async with client(replicas, "c-strict") as caller:
        assert refusal(await caller.post(**call))[0] == status


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", None),
        ("prompt", ""),
        ("prompt", ["hi"]),
        ("surprise", 1),
        ("parent_message_uuid", None),
        ("parent_message_uuid", "1"),
        ("turn_message_uuids", {"human_message_uuid": ROOT, "assistant_message_uuid": str(uuid4())}),
        ("turn_message_uuids", {"human_message_uuid": str(uuid4())}),
        ("timezone", None),
        ("timezone", "GMT +1"),
        ("locale", "english"),
        ("rendering_mode", "raw"),
        ("files", [str(uuid4())]),
        ("attachments", [{"file_name": "a.txt", "extracted_content": "a"}]),
        ("personalized_styles", [{"type": "default"}]),
        ("tools", [{"type": "web_search_v0", "name": "search"}]),
        ("tools", [{"type": "web_search", "name": "web_search"}]),
        ("thinking_mode", "high"),
        ("effort", "max"),
        ("max_tokens_to_sample", 0),
        ("create_conversation_params", {}),
        ("create_conversation_params", create_params(surprise=1)),
        ("create_conversation_params", create_params(paprika_mode="on")),
        ("create_conversation_params", create_params(compass_mode="advanced")),
    ],
)
async def test_each_wrong_field_is_refused(replicas: Replicas, field: str, value: object) -> None:
    body = completion_body("hi", create_conversation_params=create_params())
    if value is None:
        del body[field]
    else:
        body[field] = value
    address = f"{chats('c-strict')}/{uuid4()}/completion"
    async with client(replicas, "c-strict") as caller:
        answer = await caller.post(address, headers=completion_headers(), json=body)
    assert refusal(answer) == (400, "invalid_request_error")


async def test_a_body_that_is_no_json_is_refused(replicas: Replicas) -> None:
    async with client(replicas, "c-strict") as caller:
        address = f"{chats('c-strict')}/{uuid4()}/completion"
        answer = await caller.post(address, headers=completion_headers(), content=b"{")
    assert refusal(answer) == (400, "invalid_request_error")


async def test_the_new_way_to_begin_works_once(replicas: Replicas) -> None:
    unknown = await post(replicas, "starter", str(uuid4()), "hi")
    assert refusal(unknown) == (404, "not_found_error")
    conversation, first = await begin(replicas, "starter")
    again = await post(
        replicas, "starter", conversation, "two", parent=answer_id(first), create_conversation_params=create_params()
    )
    assert refusal(again) == (400, "invalid_request_error")
    assert text(await ask(replicas, "starter", conversation, "two", parent=answer_id(first)))
    wrong = str(uuid4()).replace("-4", "-1", 1)
    assert (await post(replicas, "starter", wrong, "hi")).status_code == 404


async def test_the_old_way_to_begin(replicas: Replicas) -> None:
    uuid = str(uuid4())
    made = {"uuid": uuid, "name": "", "include_conversation_preferences": True, "paprika_mode": None}
    async with client(replicas, "older") as caller:
        created = await caller.post(chats("older"), json=made | {"is_temporary": True})
        assert (created.status_code, created.json()["uuid"]) == (201, uuid)
        assert refusal(await caller.post(chats("older"), json=made)) == (400, "invalid_request_error")
        other = made | {"uuid": str(uuid4())}
        assert refusal(await caller.post(chats("older"), json=other | {"surprise": 1}))[0] == 400
        assert refusal(await caller.post(chats("older"), json=other | {"model": "claude-9"}))[0] == 403
    found = await ask(replicas, "older", uuid, "hi")
    assert found[0]["type"] == "message_start", "the event conversation_ready belongs to the new way"
    assert deltas(found, "thinking_delta", "thinking") == []
    async with client(replicas, "older") as caller:
        put = await caller.put(f"{chats('older')}/{uuid}", json={"settings": {"paprika_mode": "extended"}})
        assert put.json()["settings"] == {"paprika_mode": "extended"}
        assert (
            refusal(await caller.put(f"{chats('older')}/{uuid}", json={"settings": {"paprika_mode": "on"}}))[0] == 400
        )
    thinking = await ask(replicas, "older", uuid, "and now", parent=answer_id(found))
    assert "".join(deltas(thinking, "thinking_delta", "thinking")) == "The user asks about scattering."
    off = await ask(replicas, "older", uuid, "not now", parent=answer_id(thinking), thinking_mode="off")
    assert deltas(off, "thinking_delta", "thinking") == []
    [kept] = (await replicas.seen("claude", "older")).conversations
    assert (kept.temporary, [turn.thinking for turn in kept.turns]) == (True, [False, True, False])


async def test_a_turn_follows_an_answer_of_its_conversation(replicas: Replicas) -> None:
    conversation, first = await begin(replicas, "c-turns", "one")
    _, other = await begin(replicas, "c-turns", "elsewhere")
    ids = {"human_message_uuid": str(uuid4()), "assistant_message_uuid": str(uuid4())}
    for parent in (str(uuid4()), answer_id(other), first[1]["message"]["parent_uuid"]):
        assert refusal(await post(replicas, "c-turns", conversation, "two", parent=parent))[0] == 400
    second = await ask(replicas, "c-turns", conversation, "two", parent=answer_id(first), turn_message_uuids=ids)
    assert answer_id(second) == ids["assistant_message_uuid"], "the client chose it"
    used = await post(replicas, "c-turns", conversation, "3", parent=answer_id(second), turn_message_uuids=ids)
    assert refusal(used) == (400, "invalid_request_error")
    await ask(replicas, "c-turns", conversation, "two, edited", parent=answer_id(first), turn_message_uuids=None)
    async with client(replicas, "c-thief") as caller:
        stolen = await caller.post(**completion_call("c-thief", conversation, "mine", parent=answer_id(first)))
    assert refusal(stolen) == (404, "not_found_error")
    kept = (await replicas.seen("claude", "c-turns")).conversations[0]
    assert [turn.parent for turn in kept.turns] == ["", answer_id(first), answer_id(first)]
    async with client(replicas, "c-turns") as caller:
        address = f"{chats('c-turns')}/{conversation}"
        query = {"tree": "True", "rendering_mode": "messages", "render_all_tools": "true"}
        tree = (await caller.get(address, params=query)).json()
        branch = (await caller.get(address)).json()
        assert refusal(await caller.get(address, params={"rendering_mode": "raw"}))[0] == 400
    assert [message["content"][0]["text"] for message in tree["chat_messages"] if message["sender"] == "human"] == [
        "one",
        "two",
        "two, edited",
    ]
    assert [message["sender"] for message in branch["chat_messages"]] == ["human", "assistant"] * 2
    assert branch["current_leaf_message_uuid"] == branch["chat_messages"][-1]["uuid"] == kept.turns[-1].answer
    assert branch["chat_messages"][-1]["content"][-1]["text"] == "Because short waves scatter more."


async def test_an_answer_is_made_again(replicas: Replicas) -> None:
    conversation, first = await begin(replicas, "again", "one")
    question = first[1]["message"]["parent_uuid"]
    retry = await ask(replicas, "again", conversation, "", parent=question, operation="retry_completion")
    assert answer_id(retry) != answer_id(first)
    for prompt, parent in (("new", question), ("", answer_id(first)), ("", ROOT)):
        wrong = await post(replicas, "again", conversation, prompt, parent=parent, operation="retry_completion")
        assert refusal(wrong) == (400, "invalid_request_error")
    [kept] = (await replicas.seen("claude", "again")).conversations
    assert [(turn.prompt, turn.again) for turn in kept.turns] == [("one", False), ("one", True)]


async def test_recall_follows_the_branch(replicas: Replicas) -> None:
    await replicas.play("claude", "c-recall", Scenario(answer=Answer(echo=True, recall=True)))
    conversation, first = await begin(replicas, "c-recall", "one")
    await ask(replicas, "c-recall", conversation, "two", parent=answer_id(first))
    edited = await ask(replicas, "c-recall", conversation, "drei 三", parent=answer_id(first))
    assert text(edited) == "one\n\ndrei 三"


async def test_files_go_to_their_conversation(replicas: Replicas) -> None:
    data = "笔记".encode()
    digest = hashlib.sha256(data).hexdigest()
    conversation, account = str(uuid4()), "c-uploader"
    prefix = f"/api/organizations/{organization(account)}/conversations"
    files = {"file": ("notes.txt", data, "text/plain")}
    async with replicas.client(HOST) as nobody:
        assert (await nobody.post(f"{prefix}/{conversation}/wiggle/upload-file", files=files)).status_code == 403
    async with client(replicas, account) as caller:
        address = f"{prefix}/{conversation}/wiggle/upload-file"
        stored = (await caller.post(address, files=files)).json()
        assert (stored["success"], stored["size_bytes"], stored["file_kind"]) == (True, len(data), "document")
        picture = (await caller.post(address, files={"file": ("a.png", b"\x89PNG", "image/png")})).json()
        assert (await caller.get(picture["preview_url"])).content == b"\x89PNG"
        wrong = await caller.post(address, files={"upload": ("notes.txt", data, "text/plain")})
        assert refusal(wrong)[0] == 400
        assert (await caller.post(address, content=b"notes")).status_code == 400
        download = f"{prefix}/{conversation}/wiggle/download-file"
        assert (await caller.get(download, params={"path": stored["path"]})).content == data
        assert refusal(await caller.get(download, params={"path": "/etc/passwd"}))[0] == 404
    uuids = [stored["file_uuid"], picture["file_uuid"]]
    elsewhere = await post(
        replicas, account, str(uuid4()), "hi", files=uuids, create_conversation_params=create_params()
    )
    assert refusal(elsewhere) == (400, "invalid_request_error")
    await ask(replicas, account, conversation, "read", files=uuids, create_conversation_params=create_params())
    seen = await replicas.seen("claude", account)
    assert seen.conversations[0].turns[0].files == [digest, hashlib.sha256(b"\x89PNG").hexdigest()]
    assert [file.name for file in seen.files] == ["notes.txt", "a.png"]
    async with client(replicas, account) as caller:
        kept = (await caller.get(f"{chats(account)}/{conversation}")).json()
        assert kept["chat_messages"][0]["files_v2"][0]["file_uuid"] == stored["file_uuid"]


async def test_too_many_and_too_large_files(replicas: Replicas) -> None:
    account, conversation = "hoarder", str(uuid4())
    address = f"/api/organizations/{organization(account)}/conversations/{conversation}/wiggle/upload-file"
    async with client(replicas, account) as caller:
        uuids = [
            (await caller.post(address, files={"file": (f"{n}.txt", b"x", "text/plain")})).json()["file_uuid"]
            for n in range(21)
        ]
        large = {"file": ("large.bin", bytes(30 * 1024 * 1024 + 1), "application/octet-stream")}
        assert refusal(await caller.post(address, files=large))[0] == 413
    params = create_params()
    answer = await post(replicas, account, conversation, "hi", files=uuids, create_conversation_params=params)
    assert refusal(answer)[0] == 400
    assert (await replicas.seen("claude", account)).conversations == []


async def test_text_goes_inline(replicas: Replicas) -> None:
    account = "inline"
    async with client(replicas, account) as caller:
        older = f"/api/{organization(account)}"
        files = {"file": ("notes.md", "# 笔记".encode(), "text/markdown")}
        attachment = (await caller.post(f"{older}/convert_document", files=files)).json()
        assert attachment["extracted_content"] == "# 笔记"
        unreadable = {"file": ("a.bin", b"\xff\xfe\xfd", "application/octet-stream")}
        assert refusal(await caller.post(f"{older}/convert_document", files=unreadable))[0] == 400
        stored = (await caller.post(f"{older}/upload", files=files)).json()
    paste = {"file_name": "paste.txt", "file_type": "txt", "file_size": 4, "extracted_content": "long"}
    await replicas.play("claude", account, Scenario(answer=Answer(echo=True)))
    _, found = await begin(replicas, account, "", attachments=[attachment, paste], files=[stored["file_uuid"]])
    assert text(found) == "long", "a long paste is what the user said"
    [kept] = (await replicas.seen("claude", account)).conversations
    digest = hashlib.sha256("# 笔记".encode()).hexdigest()
    assert (kept.turns[0].prompt, kept.turns[0].files) == ("long", [digest, digest])


async def test_deletion(replicas: Replicas) -> None:
    account = "cleaner"
    [one, two, three] = [await begin(replicas, account) for _ in range(3)]
    async with client(replicas, account) as caller:
        assert (await caller.delete(f"{chats(account)}/{one[0]}")).status_code == 204
        for method in ("DELETE", "GET"):
            assert refusal(await caller.request(method, f"{chats(account)}/{one[0]}")) == (404, "not_found_error")
        named = {"conversation_uuids": [one[0], two[0]]}
        assert (await caller.post(f"{chats(account)}/delete_many", json=named)).json() == {"deleted": [two[0]]}
        title = {"message_content": "hi there", "recent_titles": []}
        named_now = await caller.post(f"{chats(account)}/{three[0]}/title", json=title)
        assert named_now.status_code == 202
        assert (await caller.get(f"{chats(account)}/{three[0]}")).json()["name"] == "hi there"
    gone = await post(replicas, account, one[0], "more", parent=answer_id(one[1]))
    assert refusal(gone) == (404, "not_found_error")
    revived = await post(replicas, account, one[0], "hi", create_conversation_params=create_params())
    assert refusal(revived)[0] == 400
    seen = await replicas.seen("claude", account)
    assert [each.deleted for each in seen.conversations] == [True, True, False]


async def test_projects(replicas: Replicas) -> None:
    project = str(uuid4())
    await begin(replicas, "planner")
    params = create_params(project_uuid=project)
    await ask(replicas, "planner", str(uuid4()), "hi", create_conversation_params=params)
    seen = await replicas.seen("claude", "planner")
    assert [each.turns[0].agent for each in seen.conversations] == ["", project]
