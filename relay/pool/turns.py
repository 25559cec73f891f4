"""A request -> the turn that a site executes; refuses what the site cannot do before anything is sent."""

from __future__ import annotations

from relay.chat.prompt import as_file, attachments, flatten
from relay.chat.request import Attachment, ChatRequest, Conversation, Turn
from relay.errors import BadRequest, ContextTooLong
from relay.pool.conversations import Match
from relay.sites.base import Site


def build_turn(request: ChatRequest, site: Site, match: Match | None = None) -> Turn:
    """What the site is asked to do: the new messages in a conversation that is continued, else the whole history.

    A prompt that is too long for the site goes as a text file where the site takes files. Raises BadRequest,
    ContextTooLong.
    """
    choice, can = request.choice, site.capabilities
    for wanted, able, what in (
        (choice.thinking, can.thinking, "a thinking mode"),
        (choice.search, can.search, "web search"),
        (choice.research, False, "deep research"),
        (bool(choice.agent), bool(can.agents), "agents"),
    ):
        if wanted and not able:
            raise BadRequest(f"{site.name} has no {what} that relay can use.", param="model")
    messages = match.new_messages if match is not None else request.messages
    files = attachments(messages)
    prompt = flatten(messages)
    if can.max_prompt_chars is not None and len(prompt) > can.max_prompt_chars:
        if not can.files:
            raise ContextTooLong(
                f"The prompt has {len(prompt)} characters; {site.name} takes {can.max_prompt_chars}.", param="messages"
            )
        prompt, file = as_file(prompt, messages, can.max_prompt_chars)
        files = (*files, file)
    _check_files(files, site)
    conversation = Conversation(match.conversation_id, match.parent) if match is not None else None
    return Turn(
        prompt, choice.model, choice.thinking, choice.search, choice.research, choice.agent, conversation, files
    )


def _check_files(files: tuple[Attachment, ...], site: Site) -> None:
    can = site.capabilities
    if files and not (can.files or can.images):
        raise BadRequest(f"{site.name} takes no files through relay.", param="messages")
    for file in files:
        if not can.files and file.kind != "image":
            raise BadRequest(f"{site.name} takes images only, not {file.mime}.", param="messages")
        if can.max_file_bytes is not None and len(file.data) > can.max_file_bytes:
            raise BadRequest(f"{file.name} is larger than {site.name} takes.", param="messages")
