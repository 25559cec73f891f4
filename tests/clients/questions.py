"""What the programs ask, and the types of what they want back."""

from __future__ import annotations

from pydantic import BaseModel

QUESTION = "What is the weather in Oslo?"
INTRODUCTION = "Jane is 54 years old."


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


class GetWeather(BaseModel):
    """The weather of a city."""

    city: str
