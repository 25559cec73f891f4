"""Bytes to text and text to whole characters, one piece at a time."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from relay.errors import BadFrame, CutAnswer
from relay.wire.framing import Framing

_SURROGATE = re.compile("[\ud800-\udfff]")


def decode_utf8(data: bytes | bytearray, expected: str) -> str:
    """The text of complete bytes. `expected` names them in the BadFrame that invalid UTF-8 raises."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadFrame(f"{expected} in UTF-8", f"{error.reason} at byte {error.start}") from None


class Utf8Decoder(Framing[str]):
    """A plain text body. Strict: invalid bytes raise BadFrame, a character cut by the end CutAnswer.

    Unlike other framings text has no records: the pieces depend on the chunks, their concatenation
    does not.
    """

    def __init__(self) -> None:
        super().__init__()
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")

    def _cut(self, data: bytes) -> Iterator[str]:
        try:
            text = self._decoder.decode(data)
        except UnicodeDecodeError as error:
            # The good characters before the bad byte are text all the same, however the bytes were cut.
            if good := bytes(error.object[: error.start]).decode("utf-8"):
                yield good
            raise BadFrame("text in UTF-8", f"{error.reason} after {good[-100:]!r}") from None
        if text:
            yield text

    def _end(self) -> Iterator[str]:
        rest, _ = self._decoder.getstate()
        if rest:
            raise CutAnswer("The answer ended in the middle of a character.")
        return iter(())


class WholeCharacters:
    """Join surrogate pairs that a site has cut in two.

    Sites that slice text by UTF-16 units put the halves of an emoji in two deltas (`"\\ud83d"`, then
    `"\\ude00"` in JSON). Python keeps such halves apart for ever and cannot encode them. A first half
    at the end of a piece waits for its other half; a half that stays alone becomes U+FFFD.
    """

    def __init__(self) -> None:
        self._half = ""

    def feed(self, piece: str) -> str:
        """The whole characters that `piece` completes."""
        text = self._half + piece
        self._half = ""
        if _SURROGATE.search(text) is None:
            return text
        if is_first_half(text[-1]):
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def close(self) -> str:
        """U+FFFD if half a character is left, else nothing."""
        rest, self._half = self._half, ""
        return "\ufffd" if rest else ""


def is_first_half(character: str) -> bool:
    """Whether this is the first half of a surrogate pair, meaningless alone."""
    return "\ud800" <= character <= "\udbff"
