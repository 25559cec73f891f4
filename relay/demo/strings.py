"""Strings made from a schema and a property's name: a place for `city`, a command for `cmd`, a date for `date`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from relay.demo.schemas import Schema, count
from relay.demo.words import Words, parts

_MOST_CHARS = 10_000
_MOST_QUERY_CHARS = 200
_PLACES = {"city", "town", "location", "place", "country", "region", "destination", "origin", "address"}
_COMMANDS = {"command", "cmd", "script", "shell", "argv"}
_PATHS = {"path", "file", "filename", "filepath"}
_PEOPLE = {"name", "person", "people", "participant", "attendee", "author", "user", "customer", "student", "member"}
_QUERIES = {"query", "question", "prompt", "task", "instruction", "request", "q"}
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uri-reference": "/demo",
    "iri": "https://example.com/",
    "email": "demo@example.com",
    "idn-email": "demo@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "regex": "^demo$",
    "json-pointer": "/demo",
}
_TRIED = (
    "demo", "Demo", "DEMO", "demo-1", "demo_1", "demo1", "Demo 1", "a1", "A1", "1a", "a-b", "a_b", "a.b", "ab-12",
    "AB-12", "AB-123", "ABC-1234", "abc-123", "1.0", "1.0.0", "v1.0.0", "12:00", "12:00:00", "2026-01", "01/31/2026",
    "31.01.2026", "+15550100000", "+1 555 0100", "555-0100", "555-010-0000", "(555) 010-0000", "12345-6789", "50%",
    "$1.00", "#336699", "0x1f", "/demo", "@demo", "#demo", "en-US", "en_US", "UTC", "true", "yes", "",
    *_FORMATS.values(),
)  # fmt: skip
"""What may fit a pattern."""


def is_command(name: str) -> bool:
    """Whether a property is one that holds a shell's command."""
    return not _COMMANDS.isdisjoint(parts(name))


class Strings:
    """Makes strings; those of the message are given out once each."""

    def __init__(self, words: Words) -> None:
        self.words = words

    @staticmethod
    def is_place(named: Sequence[str]) -> bool:
        """Whether a property of these words names a place."""
        return not _PLACES.isdisjoint(named)

    def made(self, schema: Schema, name: str, fits: Callable[[str], bool]) -> str:
        """The first candidate that fits; where none does, the one of the right length."""
        for pool in self._pools(schema, name):
            for text in pool:
                if fits(text):
                    pool.remove(text)
                    return text
        plain = list(self._plain(schema, name))
        lengths = [_of_length(text, schema) for text in plain]
        for text in (*plain, *lengths):
            if fits(text):
                return text
        tried = _of_pattern(schema) if "pattern" in schema else iter(())
        return next((text for text in tried if fits(text)), lengths[0])

    def worth(self, name: str) -> int:
        """How many strings for such a property the message holds."""
        return max((len(pool) for pool in self._pools({}, name)), default=0)

    def _pools(self, schema: Schema, name: str) -> Iterator[list[str]]:
        """Where in the message to look, best first."""
        words, named = self.words, parts(name)
        form = schema.get("format")
        by_form = {
            "date": words.dates, "date-time": words.times, "uri": words.urls, "url": words.urls,
            "email": words.emails, "uuid": words.uuids,
        }  # fmt: skip
        if isinstance(form, str) and form in _FORMATS:
            yield by_form.get(form, [])
            return
        for word in named:
            if word in by_form:
                yield by_form[word]
        if not _COMMANDS.isdisjoint(named):
            yield words.code
        elif not _PATHS.isdisjoint(named):
            yield words.paths
        elif self.is_place(named):
            yield words.places
            yield words.quoted
            yield words.names
        else:
            yield words.quoted
            if not _PEOPLE.isdisjoint(named):
                yield words.names

    def _plain(self, schema: Schema, name: str) -> Iterator[str]:
        """What it is where the message has nothing."""
        named = parts(name)
        form = schema.get("format")
        if isinstance(form, str) and form in _FORMATS:
            yield _FORMATS[form]
        yield from (_FORMATS[word] for word in named if word in _FORMATS)
        if not _COMMANDS.isdisjoint(named):
            yield "echo hello"
        elif not _PATHS.isdisjoint(named):
            yield "demo.txt"
        elif self.is_place(named):
            yield "Oslo"
        elif not _QUERIES.isdisjoint(named) and self.words.text.strip():
            yield self.words.text.strip()[:_MOST_QUERY_CHARS]
        yield " ".join(["demo", *named])
        yield "demo"


def _of_length(text: str, schema: Schema) -> str:
    """Cut, or repeated, to the length that is asked for."""
    least = count(schema, "minLength", 0, _MOST_CHARS)
    most = max(count(schema, "maxLength", _MOST_CHARS, _MOST_CHARS), least)
    longer = (text + " demo" * (least // 5 + 1))[: max(least, 1)] if len(text) < least else text
    return longer[:most]


def _of_pattern(schema: Schema) -> Iterator[str]:
    yield from _TRIED
    least = count(schema, "minLength", 1, 64)
    for length in range(max(least, 1), max(least, 1) + 16):
        yield from (letter * length for letter in "a1Ax0")
        yield f"A{'a' * (length - 1)}"
        yield f"a{'1' * (length - 1)}"
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        # A pattern without its marks is often a text that fits it: ^demo-v1$.
        yield re.sub(r"^\^|\$$|\\(?=\W)", "", pattern)
