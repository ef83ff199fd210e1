"""What every settings file of bracket is held to: no unknown key, no NaN, no infinity, and numbers within reason."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WrapValidator

from bracket.domain import Value

_LARGEST = 2**63 - 1
"""The ledger's database keeps no larger whole number."""
_DEEPEST = 20
STEPS, COUNT = 10_000_000, 100_000
"""More steps of a training, more pictures or prompts, than anybody could have meant."""


class Strict(BaseModel):
    """A map of settings that fits, or an error that names what doesn't. See `plain_error`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def within(low: float, high: float, why: str = "") -> WrapValidator:
    """A number from `low` to `high`; the error says why, where it can't be guessed."""

    def check(value: Any, handler: Callable[[Any], Any]) -> Any:
        if isinstance(value, bool):
            raise ValueError(f"a number is needed, not {value}")
        number = handler(_plain(value, largest=2**64 - 1))
        if not low <= number <= high:
            raise ValueError(f"{number} is not from {_named(low)} to {_named(high)}{f': {why}' if why else ''}")
        return number

    return WrapValidator(check)


def _named(number: float) -> str:
    return f"{number:,}".replace(",", " ") if isinstance(number, int) else f"{number:g}"


def _plain(value: Any, depth: int = 0, largest: int = _LARGEST) -> Any:
    """Data as every file can hold it (YAML, JSON, a database); lists for tuples.

    Raises:
        ValueError: it holds something else; says what.
    """
    if depth > _DEEPEST:
        raise ValueError(f"lists and maps lie more than {_DEEPEST} deep in each other")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a finite number is needed, not {value}")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > largest:
        raise ValueError("a whole number has more than 64 bits")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{value!r} is no Unicode text") from None
    if isinstance(value, list | tuple):
        return [_plain(v, depth + 1) for v in value]
    if isinstance(value, Mapping):
        wrong = [k for k in value if not isinstance(k, str)]
        if wrong:
            raise ValueError(f"the key {wrong[0]!r} is no text; write it in quotes")
        return {_plain(k): _plain(v, depth + 1) for k, v in value.items()}
    if not isinstance(value, str | int | float | bool | None):
        raise ValueError(f"a {type(value).__name__} ({value}) is neither a number nor text; write it in quotes")
    return value


Plain = Annotated[Any, BeforeValidator(_plain)]
"""Whatever a trainer's setting may be."""
Setting = Annotated[Value, BeforeValidator(_plain)]
"""A knob's value."""


def plain_error(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """A pydantic error as one line: place and reason, first three only; the nearest known key for an unknown one."""
    said: dict[str, None] = {}
    for e in error.errors(include_url=False):
        place = ".".join(str(part) for part in e["loc"]) or "whole"
        message = e["msg"].removeprefix("Value error, ")
        if e["type"] == "extra_forbidden" and model:
            message = f"there is no such setting{nearest(str(e['loc'][-1]), _fields(model, e['loc'][:-1]))}"
        said[f"{place}: {message}"] = None
    return "; ".join([*said][:3])


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """ " (did you mean 'steps'?)", or "" where nothing is near."""
    near = difflib.get_close_matches(word, sorted(known), 1, cutoff)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _fields(model: Any, place: tuple[int | str, ...]) -> Iterable[str]:
    """The settings that a model has at a place."""
    for part in place:
        fields = getattr(model, "model_fields", {})
        if part in fields:
            model = fields[part].annotation
            # of `tuple[Model, ...]` and `Mapping[str, Model]` the model itself
            model = next((a for a in getattr(model, "__args__", ()) if hasattr(a, "model_fields")), model)
    return getattr(model, "model_fields", {})
