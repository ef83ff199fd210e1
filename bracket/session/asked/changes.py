"""What a resume may not change: the question a session was asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bracket.errors import SettingsChanged
from bracket.session.asked.settings import SessionSettings


def refuse_changes(old: SessionSettings, new: SessionSettings, path: Path) -> None:
    """Let a resume pass only if it asks the same question.

    Raises:
        SettingsChanged: with one line per changed setting.
    """
    new = new.of_editions(old.seed_edition, old.score.edition)  # nobody asks for one
    diff = difference(old.question(), new.question())
    if diff:
        more = "Once it is done, `prove` and Add proof in Results add fresh pairs."
        instead = more if any(line.startswith("confirmation.pairs:") for line in diff) else ""
        raise SettingsChanged("this session was started with other settings", diff=diff, path=path, instead=instead)


def difference(old: Any, new: Any, place: str = "") -> list[str]:
    """Lines `place: old → new` for every leaf that differs between two trees of plain data."""
    if isinstance(old, dict) and isinstance(new, dict):
        lines: list[str] = []
        for key in sorted({*old, *new}):
            lines += difference(old.get(key), new.get(key), f"{place}.{key}" if place else str(key))
        return lines
    return [] if old == new else [f"{place}: {old!r} → {new!r}"]
