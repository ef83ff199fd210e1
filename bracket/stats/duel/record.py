"""Results that go to JSON and come back equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class Record:
    """A frozen dataclass of plain floats, ints, bools, strings and None, of tuples of them, or of further records.

    A class that holds records makes them again in its own `from_dict`.
    """

    def as_dict(self) -> dict[str, Any]:
        """Every field by name as JSON would give it back, so tuples as lists."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`.

        Raises:
            ValueError: a field is missing or unknown.
        """
        names = {field.name for field in fields(cls)}
        if odd := names ^ set(data):
            raise ValueError(f"{cls.__name__} has missing or unknown fields: {', '.join(sorted(odd))}")
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in data.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.as_dict()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
