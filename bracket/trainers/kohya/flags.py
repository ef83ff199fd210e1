"""Settings as words of a command line, as both kohya trainers take them."""

from __future__ import annotations

from collections.abc import Mapping


def flags(settings: Mapping[str, object]) -> list[str]:
    """Settings as words of a command line, in their order; those that are no flags (`dataset.key`) are left out.

    True is a flag alone; False, None and an empty list leave it out; a list gives several words; `--flag:key` settings
    are gathered behind the words of `--flag` as `key=value`, where the later one of a key counts.
    """
    several: dict[str, dict[str, str]] = {}
    for name, value in settings.items():
        flag, _, key = name.partition(":")
        if not flag.startswith("--") or value is None or (value is False and not key) or value in ([], ()):
            continue
        words = several.setdefault(flag, {})
        if key:
            words[key] = f"{key}={_word(value)}"
        elif isinstance(value, list | tuple):
            words.update({_key(word, place): word for place, word in enumerate(map(_word, value))})
        elif value is not True:
            words[""] = _word(value)
    argv: list[str] = []
    for flag, found in several.items():
        words_ = list(found.values())
        # A value that looks like an option would be taken for one.
        argv += [f"{flag}={words_[0]}"] if len(words_) == 1 and words_[0].startswith("-") else [flag, *words_]
    return argv


def _key(word: str, place: int) -> str:
    """What a word of several is known by: the key of `key=value`, else its place."""
    key, equals, _ = word.partition("=")
    return key if equals else f"{place}"


def _word(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
