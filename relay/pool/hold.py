"""A chat's exclusive hold on a native conversation; what the site says on the way becomes what can be continued."""

from __future__ import annotations

from relay.chat.conversation import base, extend
from relay.chat.events import ToolCall
from relay.chat.request import ChatRequest, Message
from relay.errors import SiteChanged
from relay.pool.conversations import Conversations, Known, Match
from relay.pool.rows import ConversationRow, TurnRow


class Hold:
    """From `submit` to the end of the chat; the matched conversation is nobody else's meanwhile.

    `sending` and `written` (`refused`, and again)... `started`, `turned`, `finished` by the runner, `answered` by
    whoever knows what the client got, and always `free` at the end. A chat that was sent and is freed without
    `finished` was abandoned: what nobody can continue then is due for deletion at once.
    """

    def __init__(self, conversations: Conversations, request: ChatRequest, site: str, match: Match | None) -> None:
        """Takes the conversation of `match`: make it in the same step as the match itself."""
        self.match = match
        """What is continued; None after `lost` and `leave`: build the turn from the whole history then."""
        self._all = conversations
        self._request = request
        self._site = site
        self._account = ""
        self._parent = ""
        self._tip = ""
        self._whole = False
        self._freed = False
        self._opened: set[Known] = set()
        self._current: Known | None = None
        if match is not None:
            self._current = conversations.get(site, match.account, match.conversation_id)
            if self._current is None or self._current.held:
                raise RuntimeError("a match must be held in the step that found it")
            self._current.held = True

    def __repr__(self) -> str:
        current = self._current.row.id if self._current is not None else "nothing"
        return f"<Hold on {current} matched={self.match is not None} whole={self._whole}>"

    def sending(self, account: str) -> None:
        """From now on the prompt may be on its way to this account of the site."""
        self._account = account
        if self.match is not None and self._current is not None:
            self._tip = self._current.row.tip or self._tip
            self._all.change(self._current, tip="", used=self._all.clock())

    async def written(self) -> None:
        """Wait until the disk knows what `sending` said: killed now, the relay would else go on from the old turn."""
        if self.match is not None:
            await self._all.store.flush()

    def refused(self) -> None:
        """The site provably did not accept the prompt: the conversation is as it was."""
        if self.match is None:
            self._current = None
        elif self._current is not None and self._tip:
            self._all.change(self._current, tip=self._tip)

    def started(self, conversation_id: str) -> None:
        """The site names the conversation; a new one is recorded at once. Raises SiteChanged if it is a wrong one."""
        if not conversation_id or (self._current is not None and self._current.row.id == conversation_id):
            return
        known = self._all.get(self._site, self._account, conversation_id)
        if known is None:
            now = self._all.clock()
            caller, agent = self._request.caller, self._request.choice.agent
            known = self._all.create(
                ConversationRow(self._site, self._account, conversation_id, caller, agent, created=now, used=now)
            )
            self._opened.add(known)
        elif known not in self._opened:
            self._all.doom(known)  # whosever it is, it now holds a prompt that is not in its history
            raise SiteChanged("a new conversation", "that the prompt went into an earlier one")
        if self.match is not None:
            raise SiteChanged("that the site goes on with the conversation", "that it opened another one")
        self._current, self._parent = known, ""

    def turned(self, conversation_id: str, message: str) -> None:
        """The parent of the next turn; the last one told counts. Raises as `started` does."""
        self.started(conversation_id)
        self._parent = message

    def finished(self) -> None:
        """The site's answer has its end mark."""
        self._whole = True

    @property
    def heard(self) -> str:
        """The key of the history before the answer, as the client knows it."""
        if self._request.heard:
            return self._request.heard
        if self.match is not None:
            return extend(self.match.history, self.match.new_messages)
        return extend(base(self._request), self._request.messages)

    def answered(self, text: str, calls: tuple[ToolCall, ...] = ()) -> None:
        """What the client got as the answer, and will send back: from now on the conversation can be continued.

        It counts only for an answer that is whole, and may come after `free`.
        """
        known = self._current
        if known is None or not self._whole or known.row.doomed or not self._all.has(known):
            return
        key = extend(self.heard, (Message("assistant", text, calls=calls),))
        row = known.row
        turn = TurnRow(row.site, row.account, row.id, key, self._parent, self._request.answer_id)
        # Freed before its text came, it may have met a chat on another branch, whose turn is (or will be) the newest.
        taken = self._freed and (known.held or bool(row.tip))
        self._all.add_turn(known, turn, tip=not taken)
        if not self._freed:
            known.held = False
        self._opened.discard(known)
        self._current = None

    def lost(self) -> None:
        """The site has the matched conversation no more: forget it, and go on with a new one and the whole history.

        If the match was explicit, end the chat with ConversationNotFound instead of going on.
        """
        if self.match is not None and self._current is not None:
            self._all.forget(self._current)
            self.match = self._current = None

    def leave(self) -> None:
        """Go on with a new conversation, and leave the matched one as it is to whoever comes.

        Not between `sending` and `refused`.
        """
        if self.match is not None and self._current is not None:
            self._current.held = False
            self.match = self._current = None

    def free(self) -> None:
        """The chat is over, however it ended. May be called twice."""
        if self._freed:
            return
        self._freed = True
        branches = self.match is not None and self.match.branches
        for known in self._opened | ({self._current} if self._current is not None else set()):
            known.held = False
            awaits_text = self._whole and known is self._current
            if not awaits_text and known.newest(branches) is None:
                self._all.doom(known)
        if not self._whole:
            self._current = None
