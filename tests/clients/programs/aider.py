"""aider: an editor of code by chat, by /v1/chat/completions. The model answers with an edit in aider's own form."""

from __future__ import annotations

from pathlib import Path

from tests.clients.programs.place import Place, python_programs

BEFORE, AFTER = 'print("hello")\n', 'print("hello, world")\n'
PROMPT = f"""\
Greet the world. Answer with exactly this:

`````
greet.py
```python
<<<<<<< SEARCH
{BEFORE}=======
{AFTER}>>>>>>> REPLACE
```
`````
"""


def install() -> Path:
    """The program."""
    return python_programs("aider") / "aider"


def use(program: Path, place: Place) -> str:
    """An edit of a file in a repository, and the commit whose message the model writes too."""
    code = place.project / "greet.py"
    code.write_text(BEFORE, "utf-8")
    place.run("git", "init", "--quiet")
    place.run("git", "config", "user.name", "Jane")
    place.run("git", "config", "user.email", "jane@example.com")
    place.run("git", "add", code)
    place.run("git", "commit", "--quiet", "--message", "Greet")
    place.run(
        *(program, "--model", "openai/demo", "--edit-format", "diff", "--message", PROMPT, "--yes-always", code),
        *("--no-check-update", "--analytics-disable", "--no-show-model-warnings", "--no-pretty"),
        OPENAI_API_BASE=place.url,
        OPENAI_API_KEY="none",
        LITELLM_LOCAL_MODEL_COST_MAP="True",
    )
    assert code.read_text("utf-8") == AFTER
    # Of the history in that prompt the demo's model obeys the words above once more, so its message is no pretty one.
    assert len(place.run("git", "log", "--format=%H").split()) == 2
    assert place.run("git", "status", "--porcelain", "greet.py") == ""
    return "edited a file as the model answered, and committed it"
