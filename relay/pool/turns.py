"""A request -> the turn that a site executes; refuses what the site cannot do before anything is sent."""

from __future__ import annotations

from dataclasses import replace

from relay.chat.prompt import as_file, attachments, prompt_of
from relay.chat.request import Attachment, ChatRequest, Conversation, Turn
from relay.errors import BadRequest, ContextTooLong
from relay.pool.conversations import Match
from relay.sites.base import ModelSpec, Site


def build_turn(request: ChatRequest, site: Site, match: Match | None = None) -> Turn:
    """What the site is asked to do: the new messages in a conversation that is continued, else the whole history.

    A prompt that is too long for the site goes as a text file where the model takes files. Raises BadRequest,
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
    prompt = prompt_of(request, messages, told=match is not None and match.told)
    if can.max_prompt_chars is not None and len(prompt) > can.max_prompt_chars:
        if not taken_by(site, choice.model).files:
            raise ContextTooLong(
                f"The prompt has {len(prompt)} characters; {site.name} takes {can.max_prompt_chars}, and no files that "
                f"could hold more with {choice.requested}.",
                param="messages",
            )
        prompt, file = as_file(prompt, messages, can.max_prompt_chars)
        files = (*files, file)
    _check_files(files, site, taken_by(site, choice.model), choice.requested)
    conversation = Conversation(match.conversation_id, match.parent) if match is not None else None
    return Turn(
        prompt, choice.model, choice.thinking, choice.search, choice.research, choice.agent, conversation, files
    )


def taken_by(site: Site, model: str) -> ModelSpec:
    """What a model takes beside text; of one that only the account's catalogue names, what the site takes."""
    can = site.capabilities
    known = next((spec for spec in site.models if spec.key == model), ModelSpec(model, images=True, files=True))
    return replace(known, images=can.images and known.images, files=can.files and known.files)


def _check_files(files: tuple[Attachment, ...], site: Site, model: ModelSpec, requested: str) -> None:
    if files and not (model.files or model.images):
        raise BadRequest(f"{site.name} takes no files with {requested} through relay.", param="messages")
    for file in files:
        if not model.files and file.kind != "image":
            raise BadRequest(f"{site.name} takes images only with {requested}, not {file.mime}.", param="messages")
        limit = site.capabilities.max_file_bytes
        if limit is not None and len(file.data) > limit:
            raise BadRequest(
                f"{file.name} has {len(file.data)} bytes; {site.name} takes {limit} in a file.", param="messages"
            )
