"""The real parsers of kohya's scripts, as recorded, hold the command lines our adapters make."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

_RECORDED = Path(__file__).parents[1] / "data" / "kohya-flags"


def recorded(repo: str, script: str) -> Path:
    """The recorded parser of a script: `recorded("sd-scripts", "sdxl_train_network.py")`."""
    return _RECORDED / repo / f"{Path(script).stem}.json"


def check_argv(argv: Sequence[str], parser: Path) -> list[str]:
    """What the recorded parser refuses in a command, and what no adapter should write: a flag twice, or abbreviated.

    Args:
        argv: a whole command (what comes before its first flag is not looked at) or its flags alone.
        parser: a file that `recorded` names: {"options": {flag: {type, nargs, choices, required, action}}}, where a
            field at its argparse default is left out.
    """
    options = _options(parser)
    given = _grouped(argv)
    problems = [f"{flag} comes {n} times" for flag, n in Counter(flag for flag, _ in given).items() if n > 1]
    for flag, words in given:
        if flag not in options:
            problems.append(f"{flag} is unknown to {parser.stem}")
        else:
            problems += [f"{flag}: {what}" for what in _refused(words, options[flag])]
    seen = {flag for flag, _ in given}
    return problems + [f"{flag} is required" for flag, o in options.items() if o.get("required") and flag not in seen]


@lru_cache(maxsize=128)
def _options(parser: Path) -> dict[str, dict[str, Any]]:
    return dict(json.loads(parser.read_text("utf-8"))["options"])


def _grouped(argv: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Flags with their words; `--flag=word` is one word that may look like an option."""
    groups: list[tuple[str, list[str]]] = []
    for word in argv:
        if word.startswith("--"):
            flag, equals, value = word.partition("=")
            groups.append((flag, [value] if equals else []))
        elif groups:
            groups[-1][1].append(word)
    return groups


def _refused(words: Sequence[str], option: dict[str, Any]) -> list[str]:
    if option.get("action", "Store") != "Store":
        return [f"takes no value, got {' '.join(words)}"] if words else []
    nargs = option.get("nargs")
    if nargs is None and len(words) != 1:
        return [f"takes one value, got {len(words)}: {' '.join(words)}"]
    if nargs == "+" and not words:
        return ["takes at least one value"]
    assert nargs in (None, "*", "+"), f"no recorded parser has nargs {nargs}"
    return [problem for word in words for problem in _misfits(word, option)]


def _misfits(word: str, option: dict[str, Any]) -> list[str]:
    kind = option.get("type", "str")
    try:
        value = _TYPES[kind](word)
    except ValueError:
        return [f"{word!r} is no {kind}"]
    choices = option.get("choices")
    return [f"{word!r} is none of {choices}"] if choices and value not in choices else []


def _int_or_float(word: str) -> float:
    """Both trainers': "10%", a whole number from 1 on, or a fraction below 1."""
    if word.endswith("%"):
        return float(word[:-1]) / 100
    return int(word) if float(word) >= 1 else float(word)


_TYPES: dict[str, Callable[[str], object]] = {
    "str": str,
    "Path": str,
    "int": int,
    "float": float,
    "int_or_float": _int_or_float,
    "_int_or_float": _int_or_float,
}
