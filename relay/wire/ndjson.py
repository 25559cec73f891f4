"""Newline-delimited JSON (`application/x-ndjson`, `application/jsonl`)."""

from __future__ import annotations

from collections.abc import Iterator

from relay.errors import BadFrame, CutAnswer
from relay.wire.decoder import MAX_RECORD_BYTES
from relay.wire.framing import Framing
from relay.wire.json_text import parse_json
from relay.wire.lines import LineSplitter
from relay.wire.text import decode_utf8

_EXPECTED = "one JSON value per line"
_FIRST_BYTES = b'{["-0123456789tfn'


class NdjsonDecoder(Framing[object]):
    """Cut lines and parse each as JSON; the values are unvalidated.

    Lines of blanks are skipped (some servers pad the stream with spaces); with `nul_padding` NUL
    bytes around a value count as blanks too. (HuggingChat's padding is another matter: escaped
    `\\u0000` inside the strings, for the reader to strip.) The last line may lack its newline. A
    line that cannot be JSON raises BadFrame at its first byte, so an HTML page is not collected.
    """

    def __init__(self, *, nul_padding: bool = False, limit: int = MAX_RECORD_BYTES) -> None:
        super().__init__()
        self._lines = LineSplitter(limit=limit)
        self._blanks = b" \t\r\n\0" if nul_padding else b" \t\r\n"
        self._begun = False

    def _cut(self, data: bytes) -> Iterator[object]:
        for line in self._lines.feed(data):
            self._begun = False
            if line := line.strip(self._blanks):
                yield self._parse(line)
        if not self._begun:
            start = data[data.rfind(b"\n") + 1 :].lstrip(self._blanks)
            self._begun = bool(start)
            if start and start[0] not in _FIRST_BYTES:
                raise BadFrame(_EXPECTED, repr(start[:200]))

    def _end(self) -> Iterator[object]:
        line = self._lines.take_rest().strip(self._blanks)
        if not line:
            return
        try:
            yield self._parse(line)
        except BadFrame:
            raise CutAnswer("The answer ended in the middle of a line of JSON.") from None

    def _parse(self, line: bytes) -> object:
        return parse_json(decode_utf8(line, _EXPECTED), _EXPECTED)
