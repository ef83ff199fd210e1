"""Results that go to JSON and come back equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class Record:
    """A frozen dataclass of plain floats, ints, bools, strings and None."""

    def as_dict(self) -> dict[str, Any]:
        """Every field by name, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`.

        Raises:
            ValueError: a field is missing or unknown.
        """
        names = {field.name for field in fields(cls)}
        if odd := names ^ set(data):
            raise ValueError(f"{cls.__name__} has missing or unknown fields: {', '.join(sorted(odd))}")
        return cls(**data)
