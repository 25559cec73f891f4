"""What a message holds that can become an argument: numbers, quoted text, names, places, paths. Plain patterns."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable

_MOST_CHARS = 20_000
_FENCED = re.compile(r"^`{3,}[^\n`]*\n(.*?)\n`{3,}[ \t]*$", re.DOTALL | re.MULTILINE)
_TICKED = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_QUOTED = re.compile(r"\"([^\"\n]+)\"|“([^”\n]+)”|「([^」\n]+)」|‘([^’\n]+)’|(?<!\w)'([^'\n]+)'(?!\w)")
_URL = re.compile(r"https?://[^\s<>\"'`，。）)]+[^\s<>\"'`，。）).,;:!?]")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_UUID = re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")
_TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_DATE = re.compile(r"(?<![\w-])\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?![\w-])")
_PATH = re.compile(
    r"(?<![\w./:~-])(?:~?/[\w.-]+(?:/[\w.-]+)*/?|(?:\.{1,2}/)?[\w-][\w.-]*(?:/[\w.-]+)*\.[A-Za-z]\w{0,4}(?![\w/.-]\w))"
)
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,18}(?:\.\d{1,18})?(?!\w)")
_CAPITAL = r"[A-ZÀ-ÖØ-Þ][\w'’-]*"
_PROPER = rf"{_CAPITAL}(?: {_CAPITAL})*"
_NAME = re.compile(rf"(?<![\w'’-]){_PROPER}")
_JOINED = r"(?:,? and |,? or | & |, )"
_PLACE = re.compile(rf"\b(?:in|at|for|near|from|to|of) ({_PROPER}(?:{_JOINED}{_PROPER})*)")
_TOGETHER = re.compile(rf"(?<![\w'’-]){_PROPER}(?:{_JOINED}{_PROPER})+")
_BETWEEN = re.compile(r",? and |,? or | & |, (?![A-Z]{2}(?![\w]))")
_PLACE_ZH = re.compile(r"([\u3400-\u9fff、]{2,16}?)(?:的|今天|明天|现在)*(?:天气|气温|温度|时间|几点)")
_ASKING_ZH = re.compile(r"^(?:请问|请|帮我|给我|告诉我|查询|查一下|查查|查|看看|看一下|我想知道|一下|在)+")
_NO_NAMES = {
    *calendar.month_name, *calendar.day_name,
    "A", "After", "All", "Also", "An", "And", "Answer", "Are", "As", "Ask", "At", "Be", "Before", "But", "By",
    "Call", "Can", "Check", "Compare", "Compute", "Could", "Create", "Did", "Do", "Does", "Draw", "Edit", "Extract",
    "Fetch", "Find", "First", "For", "From", "Generate", "Get", "Give", "Go", "Hello", "Hey", "Hi", "How", "I",
    "I'm", "If", "In", "Is", "It", "JSON", "Let", "List", "Look", "Make", "May", "Me", "Must", "My", "No", "Not",
    "Now", "Of", "Ok", "Okay", "On", "Open", "Or", "Please", "Print", "Read", "Return", "Run", "Save", "Say",
    "Search", "Send", "Set", "Should", "Show", "Solve", "Sum", "Tell", "Thank", "Thanks", "That", "The", "Their",
    "Then", "There", "These", "They", "This", "To", "Today", "Tomorrow", "Try", "Use", "Using", "Was", "We",
    "Weather", "What", "What's", "When", "Where", "Which", "Who", "Why", "Will", "With", "Write", "Would", "Yes",
    "You", "Your",
}  # fmt: skip
"""Words that begin sentences, and dates: their capitals make no name."""


def parts(name: str) -> list[str]:
    """The words of an identifier, in lower case and in the singular: `getCities` -> get, city."""
    return [singular(part.lower()) for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[\u3400-\u9fff]+", name)]


def singular(word: str) -> str:
    """A plain English plural without its ending."""
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


class Words:
    """A message taken apart. Each list is in the message's order; what became an argument is taken out of it."""

    def __init__(self, text: str) -> None:
        self.text = text = text[:_MOST_CHARS]
        self.tokens = {singular(word.lower()) for word in re.findall(r"[^\W_]+", text)}
        self.code = [found[1] for found in sorted([*_FENCED.finditer(text), *_TICKED.finditer(text)], key=_where)]
        self.quoted = ["".join(groups) for groups in _QUOTED.findall(text)]
        self.urls, text = _out_of(_URL, text)
        self.emails, text = _out_of(_EMAIL, text)
        self.uuids, text = _out_of(_UUID, text)
        self.times, text = _out_of(_TIME, text)
        self.dates, text = _out_of(_DATE, text)
        self.paths = [path for path in _PATH.findall(text) if path not in ("e.g", "i.e")]
        self.numbers: list[int | float] = [_number(found) for found in _NUMBER.findall(_PATH.sub(" ", text))]
        self.names = list(_names(_NAME.findall(text)))
        groups = [group for found in _places(text) if (group := list(found))]
        self.places = [place for group in groups for place in group]
        self.together = len(groups[0]) if groups else 1
        """How many of the first places are named in one breath: Oslo, Paris and Rome."""

    def __repr__(self) -> str:
        return f"<Words numbers={self.numbers} quoted={self.quoted} places={self.places} names={self.names}>"

    def mentions(self, name: str) -> bool:
        """Whether all words of an identifier are in the message."""
        return bool(words := parts(name)) and all(word in self.tokens for word in words)

    def said(self, name: str) -> list[str | int | float]:
        """What stands right after a property's name (`limit=5`, `limit: 5`, `limit 5`), as it may be meant."""
        if not name:
            return []
        loose = "[ _-]?".join(f"{part}s?" for part in parts(name))
        spelled = f"{re.escape(name)}|{loose}" if loose else re.escape(name)
        link = r"\s*(?P<link>=|:|：|\bis\b|是|为)" + ("?" if len(name) > 2 else "")
        after = re.search(rf"(?<![\w-])(?:{spelled})[`\"']?{link}\s*", self.text, re.IGNORECASE)
        if not after:
            return []
        for pattern in (_QUOTED, _TICKED, _NUMBER):
            if found := pattern.match(self.text, after.end()):
                value = next((group for group in found.groups() if group is not None), found[0])
                return self._meant(value)
        if after["link"] in ("=", ":", "："):
            bare = re.compile(r"[^\s,;，；。()]+").match(self.text, after.end())
            return self._meant(bare[0].rstrip(".!?")) if bare else []
        return []

    def _meant(self, value: str) -> list[str | int | float]:
        readings: list[str | int | float] = [value]
        if value.lower() in ("true", "false"):
            readings.append(value.lower() == "true")
        if _NUMBER.fullmatch(value):
            readings.append(_number(value))
        for pool in (self.numbers, self.quoted, self.names):
            for reading in readings:
                if reading in pool:
                    pool.remove(reading)  # type: ignore[arg-type]
        return readings


def _out_of(pattern: re.Pattern[str], text: str) -> tuple[list[str], str]:
    return pattern.findall(text), pattern.sub(" ", text)


def _where(found: re.Match[str]) -> int:
    return found.start()


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def _names(found: Iterable[str]) -> Iterable[str]:
    for name in found:
        words = name.removesuffix("'s").removesuffix("’s").split(" ")
        while words and words[0] in _NO_NAMES:
            words.pop(0)
        if words:
            yield " ".join(words)


def _places(text: str) -> Iterable[Iterable[str]]:
    """Places, grouped as they are named; where no word such as `in` tells one, the names that are joined."""
    for found in _PLACE.findall(text) or _TOGETHER.findall(text):
        yield _names(_BETWEEN.split(found))
    for found in _PLACE_ZH.findall(text):
        yield (place for place in re.split("[、和与跟]", _ASKING_ZH.sub("", found)) if place)
