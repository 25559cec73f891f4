"""The calls to Claude's API that carry no prompt, from inside its page. Sections are those of the fact sheet."""

from __future__ import annotations

import json
from collections.abc import Sequence

from relay.browser.fetch import Body, FormPart
from relay.browser.tab import Response, Tab
from relay.chat.events import Quota
from relay.chat.request import Attachment, FileRef, Turn
from relay.errors import ConversationNotFound, CutAnswer, PageLeft
from relay.sites.base import ModelSpec
from relay.sites.claude.errors import site_error
from relay.sites.claude.limits import Usage
from relay.sites.claude.messages import (
    Bootstrap,
    Conversation,
    Made,
    Organization,
    Organizations,
    Uploaded,
    chosen,
    models_in,
    parsed,
)
from relay.sites.claude.requests import JSON, PLATFORM, Visit, create_body

BOOTSTRAP = "/edge-api/bootstrap/{}/app_start?statsig_hashing_algorithm=djb2&growthbook_format=sdk"
TREE = "?tree=True&rendering_mode=messages&render_all_tools=true"
UPLOAD_S = 120.0
BROWSER = """function() {
    return [Intl.DateTimeFormat().resolvedOptions().timeZone, navigator.language, document.cookie];
}"""


async def _ask(tab: Tab, method: str, path: str, headers: dict[str, str], body: Body = None) -> Response:
    """One call. A redirect is not followed: it would lead away from the API.

    A page that goes over to its login, or back from it, takes a call with it: what only reads is asked again there.
    """
    timeout_s = UPLOAD_S if isinstance(body, list) else 30
    for again in (True, True, False):
        try:
            return await tab.fetch(method, path, headers=headers, body=body, redirect="manual", timeout_s=timeout_s)
        except CutAnswer:
            if method != "GET" or not again:
                raise
    raise AssertionError("unreachable")


async def arrive(tab: Tab) -> tuple[Organization, Visit] | None:
    """Whose account it is, and what its calls carry (section 2); None for one that may not chat."""
    try:
        zone, locale, cookies = await tab.evaluate(BROWSER)
    except PageLeft:
        zone, locale, cookies = await tab.evaluate(BROWSER)
    kept = dict(cookie.strip().partition("=")[::2] for cookie in cookies.split(";"))
    found = parsed(Organizations, await _ask(tab, "GET", "/api/organizations", PLATFORM)).root
    organization = chosen(found, kept.get("lastActiveOrg", ""))
    if organization is None:
        return None
    return organization, Visit(organization.uuid, zone, locale, kept.get("anthropic-device-id", ""))


async def quotas(tab: Tab, visit: Visit) -> tuple[Quota, ...]:
    """How far the limits are used up (section 9)."""
    return tuple(parsed(Usage, await _ask(tab, "GET", f"{visit.organization}/usage", visit.headers)).quotas())


async def models(tab: Tab, visit: Visit) -> Sequence[ModelSpec]:
    """The models that the page offers (section 3)."""
    reply = await _ask(tab, "GET", BOOTSTRAP.format(visit.uuid), visit.headers)
    return list({model.model: model.spec for model in models_in(parsed(Bootstrap, reply).root)}.values())


async def create(tab: Tab, visit: Visit, conversation: str, turn: Turn, *, temporary: bool) -> None:
    """Make a conversation before anything is said in it (section 4, step 2)."""
    body = json.dumps(create_body(conversation, turn, temporary=temporary))
    parsed(Made, await _ask(tab, "POST", visit.chats, visit.headers | JSON, body))


async def leaf(tab: Tab, visit: Visit, conversation: str) -> str:
    """The newest message of a conversation (section 4, step 6). Raises ConversationNotFound."""
    reply = await _ask(tab, "GET", visit.chat(conversation) + TREE, visit.headers)
    if reply.status == 404:
        raise ConversationNotFound("Claude does not have the conversation any more.", refused=True)
    return parsed(Conversation, reply).leaf


async def upload(tab: Tab, visit: Visit, conversation: str, attachment: Attachment) -> FileRef:
    """Give a conversation a file (section 7); by the older call where the site does not know the newer."""
    part = FormPart("file", attachment.data, attachment.name, attachment.mime)
    paths = (visit.upload(conversation), visit.older_upload)
    for path in paths:
        reply = await _ask(tab, "POST", path, visit.headers, [part])
        if reply.status != 404:
            break
    taken = parsed(Uploaded, reply)
    return FileRef(taken.file_uuid, attachment.name, attachment.mime, len(attachment.data), attachment.kind)


async def delete(tab: Tab, visit: Visit, conversation: str) -> None:
    """Remove a conversation (section 8); one that is gone already is no error."""
    reply = await _ask(tab, "DELETE", visit.chat(conversation), visit.headers)
    error = site_error(reply.status, reply.headers, reply.text, refused=False)
    if error is not None and reply.status != 404:
        raise error
