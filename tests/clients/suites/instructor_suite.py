"""Instructor: a response model by tool and by JSON schema, whole and in parts."""

from __future__ import annotations

import instructor
import pytest
from openai import OpenAI
from pydantic import BaseModel
from target import BASE, INTRODUCTION, KEY, MODEL


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


MESSAGES = [{"role": "user", "content": INTRODUCTION}]


@pytest.mark.parametrize("mode", [instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA], ids=["tool", "schema"])
def test_a_response_model(mode: instructor.Mode) -> None:
    client = instructor.from_openai(OpenAI(base_url=BASE, api_key=KEY), mode=mode)
    person, answer = client.chat.completions.create_with_completion(
        model=MODEL, response_model=Person, messages=MESSAGES, max_retries=0
    )
    assert isinstance(person, Person)
    assert person.model_dump() == {"name": "Jane", "age": 54}
    assert answer.usage.completion_tokens > 0


def test_a_response_model_in_parts() -> None:
    client = instructor.from_openai(OpenAI(base_url=BASE, api_key=KEY))
    parts = list(client.chat.completions.create_partial(model=MODEL, response_model=Person, messages=MESSAGES))
    assert parts[-1].model_dump() == {"name": "Jane", "age": 54}
