"""Whether a weight is the one a preset needs, said before any GPU time is spent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bracket.domain import Problem
from bracket.errors import StorageError
from bracket.weights.download import SAFETENSORS, check_whole
from bracket.weights.identify import Identity, identify_parts
from bracket.weights.kinds import FAMILY_OF, spelled_out, title_of

_CHOOSE = "Choose the file that the preset names."


def check_weight(path: Path, expected: Sequence[str], label: str) -> Problem | None:
    """What is wrong with a weight, None when it is whole and one of the `expected` kinds, or none is given.

    An error when it is another model's, unfinished or a damaged file; a warning when it can't be told, when it is of
    the family but of an unknown size or version, and when it is a whole checkpoint that holds the expected part.

    Raises:
        PresetError: `expected` holds a name that is no kind.
    """
    wanted = spelled_out(expected)
    try:
        check_whole(path, tuple(expected))
        parts = identify_parts(path) if expected else []
    except StorageError as error:
        return Problem("error", f"{label}: {_mid_sentence(error.message)}", error.remedy, Path(error.path or path))
    if not expected:
        return None
    needed = _either([title_of(kind) for kind in expected])
    if not parts:
        return Problem("warning", f"{label}: {_unknown(path)}; {needed} was expected", "", path)
    main, *others = parts
    if _fits(main, wanted):
        return None
    if any(FAMILY_OF[kind] == main.kind for kind in wanted):
        return Problem(
            "warning",
            f"{label}: this is {main.title}, but its size or version can't be told; {needed} was expected",
            "",
            path,
        )
    if any(_fits(part, wanted) for part in others):
        message = (
            f"{label}: this is a whole model, {main.title}, that holds {needed}; not every trainer takes it from there"
        )
        return Problem("warning", message, "Choose the part's own file if the start fails.", path)
    return Problem("error", f"{label}: this is {main.title}, {needed} was expected", _CHOOSE, path)


def _fits(found: Identity, wanted: set[str]) -> bool:
    return found.kind in wanted or found.family in wanted


def _unknown(path: Path) -> str:
    if path.is_dir():
        return "this folder isn't one that bracket can tell"
    if path.suffix.lower() not in SAFETENSORS:
        return f"a {path.suffix.lower() or 'nameless'} file can't be looked into without loading it"
    return "this model isn't one that bracket can tell"


def _either(titles: list[str]) -> str:
    titles = list(dict.fromkeys(titles))
    return " or ".join(filter(None, (", ".join(titles[:-1]), titles[-1])))


def _mid_sentence(message: str) -> str:
    return message[:1].lower() + message[1:]
