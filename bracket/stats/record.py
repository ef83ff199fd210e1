"""Results that go to JSON and come back equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class Record:
    """A frozen dataclass of plain floats, ints, bools, strings and None, or tuples of them."""

    def as_dict(self) -> dict[str, Any]:
        """Every field by name as JSON would give it back, so tuples as lists."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

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
