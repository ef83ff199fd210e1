"""From a session that searched to the settings of the one after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bracket.domain import Config, Round, Value
from bracket.errors import SettingsError
from bracket.presets import Preset
from bracket.report.words import knob_title, knob_value
from bracket.search.suggestion import Suggestion, suggest
from bracket.session.asked.bounds import baseline_of, bounded_knobs
from bracket.session.asked.settings import Bound, SessionSettings, load
from bracket.session.store import FILE as LEDGER
from bracket.session.store import SOON, Store

Bounds = Mapping[str, Bound]


@dataclass(frozen=True)
class NextSpace:
    """The settings of a session that goes on from another.

    Attributes:
        settings: the other's with the suggested bounds, and another seed: what did well by the luck of the trainings
            and pictures that drew this space has to do well again.
        suggestion: where these come from.
        moved: what the new bounds make of the baseline, by knob: the value it had and the one it gets.
    """

    settings: SessionSettings
    suggestion: Suggestion
    moved: dict[str, tuple[Value, Value]]

    @property
    def words(self) -> str:
        """What a person should know of a baseline that the new space moves; "" where it doesn't."""
        moved = [
            f"{knob_title(knob)} {knob_value(knob, old)} becomes {knob_value(knob, new)}"
            for knob, (old, new) in self.moved.items()
        ]
        return f"The baseline lies outside of this space: its {', '.join(moved)}." if moved else ""


def next_bounds(folder: Path) -> Suggestion:
    """The space that a session's search suggests for the next one.

    Raises:
        SettingsError: there is no session, or its settings can't be read.
        PresetError: its preset is gone.
        StorageError: its ledger is damaged.
    """
    settings = load(folder, to_read=True)
    return _suggested(folder, settings.load_preset(), settings.bounds, settings.seed)


def next_space(folder: Path) -> NextSpace:
    """A session's settings with the space that its search suggests for the next one.

    Raises:
        SettingsError: there is nothing to suggest yet, or what `next_bounds` raises.
    """
    settings = load(folder, to_read=True)
    preset = settings.load_preset()
    suggestion = _suggested(folder, preset, settings.bounds, settings.seed)
    if suggestion.note:
        raise SettingsError(suggestion.note.rstrip("."), path=folder, remedy="Wait for more trials.")
    bounds = {name: Bound(**bound) for name, bound in suggestion.bounds().items()}
    made = settings.model_copy(update={"bounds": {**settings.bounds, **bounds}, "seed": (settings.seed + 1) % 2**64})
    return NextSpace(made, suggestion, _moved(preset, settings.baseline, settings.bounds, made.bounds))


def _suggested(folder: Path, preset: Preset, bounds: Bounds, seed: int) -> Suggestion:
    knobs = bounded_knobs(preset, bounds)
    if not (folder / LEDGER).exists():
        return suggest(knobs, ())
    store = Store(folder, patience=SOON)
    try:
        results = store.results(Round.SEARCH)
    finally:
        store.close()
    return suggest(knobs, results, whole=preset.knob_list(), seed=seed)


def _moved(preset: Preset, asked: Config, before: Bounds, after: Bounds) -> dict[str, tuple[Value, Value]]:
    """A baseline outside of the new bounds is trained at their nearest end, and is then another config."""
    old, new = (baseline_of(preset, asked, bounded_knobs(preset, bounds)) for bounds in (before, after))
    return {name: (old[name], new[name]) for name in old if name in new and old[name] != new[name]}
