"""The form of Setup and Run as plain values, and the session's settings they mean. No Gradio."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from bracket.dataset import parse_prompts, places
from bracket.domain import Config, Value
from bracket.errors import DatasetError, SettingsError
from bracket.files import path_text
from bracket.presets import KnobSpec, Preset, find_preset
from bracket.session.asked.bounds import baseline_problems, bounded_knobs
from bracket.session.asked.settings import Bound, SessionSettings, from_preset, split_words, validated
from bracket.session.asked.settings import DatasetSettings as Pictures
from bracket.session.running.launch import checked_name
from bracket.ui.form import judge as judge_form

NUMBERS = {
    "configs": ("search", "configs", "Configs to compare"),
    "steps": ("search", "steps", "Steps in the search"),
    "rungs": ("search", "rungs", "Rungs"),
    "finalists": ("finals", "finalists", "Finalists"),
    "finals_steps": ("finals", "steps", "Steps in the finals"),
    "finals_seeds": ("finals", "seeds", "Seeds in the finals"),
    "pairs": ("confirmation", "pairs", "Paired runs"),
    "keep_at_least": ("confirmation", "keep_at_least", "Keep of the base in % (0: any)"),
    "validation": ("dataset", "validation", "Held-out pictures"),
    "prompts": ("dataset", "prompts", "Prompts in the search"),
    "verdict_prompts": ("dataset", "verdict_prompts", "Prompts for the verdict"),
    "plain_prompts": ("dataset", "plain_prompts", "Without the trigger word"),
    "per_folder": ("dataset", "per_folder", "Pictures per folder (0: all)"),
    "vram": ("", "vram", "GPU memory in GB (0: what there is)"),
    "pairwise": ("", "pairwise", "Configs compared side by side"),
    "sample_every": ("", "sample_every", "Pictures every so many steps"),
    "seed": ("", "seed", "Seed"),
}
"""Whole numbers of the form: their place in the settings and their label."""
REDUCTION = "One in so many goes on"
STOP_BELOW = "Stop early"
KNOB_COLUMNS = ("Knob", "Low", "High", "Baseline", "Scale or choices", "Why")
_NONE = "–"
T = TypeVar("T")


def default_values(preset: Preset, folder: str = "") -> dict[str, Any]:
    """The form as a preset suggests it."""
    return to_values(from_preset(preset, Pictures(folder=folder)))


def to_values(settings: SessionSettings) -> dict[str, Any]:
    """What the form shows for these settings; `to_settings` is the inverse.

    Raises:
        PresetError: the settings' preset is gone.
    """
    preset = settings.load_preset()
    data = settings.model_dump()
    numbers = {n: (data[group] if group else data)[field] for n, (group, field, _) in NUMBERS.items()}
    return {
        "preset": settings.preset,
        "folder": settings.dataset.folder,
        "trigger_word": settings.dataset.trigger_word,
        "class_word": settings.dataset.class_word,
        "own_prompts": "\n".join(settings.dataset.own_prompts),
        "use_for": settings.dataset.use_for,
        "kind": settings.dataset.kind,
        **judge_form.judge_values(settings),
        "weights": preset.resolve_weights(settings.weights),
        "strategy": settings.search.strategy,
        "reduction": settings.search.reduction,
        "objectives": ", ".join(settings.search.objectives),
        "stop_below": round(100 * settings.search.stop_below, 6),
        "memory": settings.search.memory,
        "stamp": settings.confirmation.stamp,
        "sample_weight": settings.score.sample_weight,
        "extra_args": shlex.join(settings.extra_args),
        "device": settings.device,
        "knobs": knob_rows(preset, settings.bounds, settings.baseline),
        **numbers,
    }


def to_settings(values: Mapping[str, Any]) -> SessionSettings:
    """The settings a filled form means.

    Raises:
        SettingsError: a field is empty or doesn't fit; names it by its label.
        PresetError: there is no such preset.
    """
    preset = find_preset(str(values["preset"]))
    nested: dict[str, dict[str, Any]] = {"dataset": {}, "search": {}, "finals": {}, "confirmation": {}, "": {}}
    for name, (group, field, label) in NUMBERS.items():
        nested[group][field] = judge_form.number(values[name], label, int)
    dataset = {
        **nested["dataset"],
        "folder": "\n".join(map(str, places(text(values["folder"])))),
        "trigger_word": text(values["trigger_word"]),
        "class_word": text(values["class_word"]),
        "own_prompts": own_prompts(values["own_prompts"]),
        "use_for": values["use_for"],
        "kind": values["kind"],
    }
    bounds, baseline = read_knobs(preset, values["knobs"])
    search = {
        **nested["search"],
        "strategy": values["strategy"],
        "reduction": judge_form.number(values["reduction"], REDUCTION),
        "objectives": tuple(w.strip() for w in text(values["objectives"]).split(",") if w.strip()),
        "stop_below": _stop_below(values["stop_below"]),
        "memory": bool(values["memory"]),
    }
    made = validated(
        {
            "preset": preset.name,
            "dataset": dataset,
            "weights": {key: path_text(text(path)) for key, path in values["weights"].items()},
            "search": search,
            "finals": nested["finals"],
            "confirmation": {**nested["confirmation"], "stamp": bool(values["stamp"])},
            "score": {"sample_weight": values["sample_weight"]},
            **judge_form.judges_meant(values),
            "bounds": bounds,
            "baseline": baseline,
            "extra_args": split_words(text(values["extra_args"])),
            "device": text(values["device"]),
            **nested[""],
        }
    )
    for problem in baseline_problems(preset, made.baseline, bounded_knobs(preset, made.bounds)):
        if problem.level == "error":
            raise SettingsError(problem.message, remedy=problem.remedy)
    return made


def own_prompts(given: object) -> tuple[str, ...]:
    """The lines of the box of a person's own prompts.

    Raises:
        SettingsError: one can't be read; names it by its number.
    """
    typed = "" if given is None else str(given)
    try:
        parse_prompts(typed)
    except DatasetError as error:
        raise SettingsError(error.message, remedy=error.remedy) from error
    return tuple(typed.rstrip().split("\n")) if typed.strip() else ()


def knob_rows(preset: Preset, bounds: Mapping[str, Bound], asked: Config) -> list[list[str]]:
    """The knob table: name, low, high, baseline, scale, why; a choice shows its lowest and highest."""
    rows = []
    baseline = {**preset.baseline, **asked}
    for name, spec in preset.knobs.items():
        low, high = _ends(spec)
        bound = bounds.get(name, Bound())
        low = low if bound.low is None else bound.low
        high = high if bound.high is None else bound.high
        rows.append([name, _shown(low), _shown(high), _shown(baseline[name]), _scale(spec, bound.choices), spec.why])
    return rows


def read_knobs(preset: Preset, rows: Sequence[Sequence[object]]) -> tuple[dict[str, Bound], dict[str, Value]]:
    """Bounds and baseline that differ from the preset's own.

    Raises:
        SettingsError: a cell can't be read, or low is above high; names the knob and the column.
    """
    bounds: dict[str, Bound] = {}
    baseline: dict[str, Value] = {}
    for row in rows:
        spec = preset.knobs.get(str(row[0]))
        if spec is None:
            continue
        read = _Row(str(row[0]), spec, row)
        for _, error in read.faults:
            raise error
        if read.ends != _ends(spec) or read.choices:
            low, high = read.ends if read.ends != _ends(spec) else (None, None)
            bounds[read.name] = Bound(low=low, high=high, choices=read.choices)
        if read.baseline is not None and read.baseline != preset.baseline[read.name]:
            baseline[read.name] = read.baseline
    return bounds, baseline


class _Row:
    """A row of the knobs' table as it is read, cell by cell; `faults` are columns with what is wrong there."""

    def __init__(self, name: str, spec: KnobSpec, row: Sequence[object]) -> None:
        self.name, self._spec, self.faults = name, spec, list[tuple[int, SettingsError]]()
        low, high = (
            None if own is None else self._try(column, self._number, row[column], column)
            for column, own in enumerate(_ends(spec), 1)
        )
        self.ends = (low, high)
        self.choices: tuple[Value, ...] = self._try(4, _choices, row[4], name, spec) or ()
        self.baseline: Value | None = self._try(3, self._read_baseline, row[3])
        if not self.faults:
            self._try(1, self._fits)

    def _try(self, column: int, read: Callable[..., T], *args: object) -> T | None:
        try:
            return read(*args)
        except SettingsError as error:
            self.faults.append((column, error))
            return None

    def _number(self, given: object, column: int) -> float:
        where = f"{self.name}, {KNOB_COLUMNS[column].lower()}"
        number = judge_form.number(given, where, int if self._spec.kind == "int" else float)
        if self._spec.log and number <= 0:
            raise SettingsError(f"{where}: {_shown(number)} must be above 0 on a log scale", remedy="Raise it.")
        return number

    def _read_baseline(self, given: object) -> Value:
        if self._spec.kind != "choice":
            return self._number(given, 3)
        known = {_shown(c): c for c in self._spec.choices}
        if text(given) not in known:
            what = f"{self.name}: the baseline {text(given)!r} is not one of its choices"
            raise SettingsError(what, remedy=f"Known: {', '.join(known)}.")
        return known[text(given)]

    def _fits(self) -> None:
        low, high = self.ends
        if low is not None and high is not None and low > high:
            raise SettingsError(f"{self.name}: low {_shown(low)} is above high {_shown(high)}", remedy="Swap them.")


@dataclass(frozen=True)
class Fault:
    """A field that can't be read, and what to do about it; `cell` is the place in its table (row, column)."""

    field: str
    words: str
    cell: tuple[int, int] | None = None


def faults(values: Mapping[str, Any]) -> list[Fault]:
    """Every field that is wrong by itself; of those that are only wrong together, the ones the settings name.

    Raises:
        PresetError: there is no such preset.
    """
    preset = find_preset(str(values["preset"]))
    reads: dict[str, Callable[[], object]] = {
        **{n: partial(judge_form.number, values[n], label, int) for n, (_, _, label) in NUMBERS.items()},
        "reduction": partial(judge_form.number, values["reduction"], REDUCTION),
        "stop_below": partial(_stop_below, values["stop_below"]),
        "extra_args": lambda: split_words(text(values["extra_args"])),
        "own_prompts": lambda: own_prompts(values["own_prompts"]),
        **judge_form.checks(values),
    }
    found = [Fault(name, str(error)) for name, read in reads.items() if (error := _error_of(read))]
    for place, row in enumerate(values["knobs"]):
        if spec := preset.knobs.get(str(row[0])):
            wrong = _Row(str(row[0]), spec, row).faults
            found += [Fault("knobs", str(error), (place, column)) for column, error in wrong]
    error = None if found else _error_of(lambda: to_settings(values))
    return found or (_named(error) if error else [])


def _stop_below(given: object) -> float:
    """From points of score, as the form has it, to the 0..1 of the settings.

    Raises:
        SettingsError: it is no number, or outside the scale.
    """
    points = judge_form.number(given, STOP_BELOW)
    if not 0 <= points < 100:
        raise SettingsError(f"{STOP_BELOW}: {points:g} is not from 0 to 100", remedy="Give it in points of score.")
    return round(points / 100, 8)


def _error_of(read: Callable[[], object]) -> SettingsError | None:
    try:
        read()
    except SettingsError as error:
        return error
    return None


def _named(error: SettingsError) -> list[Fault]:
    """The fields that the settings' own check names."""
    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return []
    places = {(*((group,) if group else ()), setting): name for name, (group, setting, _) in NUMBERS.items()}
    places |= {("judge", setting): name for name, setting in judge_form.FIELDS.items()}
    places |= {("search", name): name for name in ("reduction", "stop_below", "objectives", "strategy")}
    told = ((places.get(tuple(map(str, e["loc"][:2]))), e["msg"]) for e in cause.errors())
    return [Fault(name, f"{NUMBERS[name][2] if name in NUMBERS else name}: {said}") for name, said in told if name]


def session_name(given: object) -> str:
    """A session's name that is also a safe folder name.

    Raises:
        SettingsError: it is empty or holds what a folder's name should not.
    """
    name = text(given)
    if not name:
        raise SettingsError("the session needs a name", remedy="Type one.")
    if not re.fullmatch(r"[\w][\w .+-]{0,79}", name):
        raise SettingsError(f"{name!r} can't be a session's name", remedy="Use letters, digits, spaces, - and _.")
    return checked_name(name)


def free_name(wanted: str, runs: Path) -> str:
    """`wanted`, or `wanted-2`, `wanted-3`… : the first that no session has."""
    name, number = wanted, 2
    while (runs / name).exists():
        name, number = f"{wanted}-{number}", number + 1
    return name


def suggested_name(folder: str, runs: Path) -> str:
    """A name for a session on the pictures in `folder`."""
    first = Path(next(iter(folder.splitlines()), "").strip(" \"'"))
    stem = re.sub(r"[^\w.+-]+", "-", first.name)[:60].strip("-.")
    return free_name(stem or "session", runs)


def text(value: object) -> str:
    """A field's text without the blanks around it; "" for an empty one."""
    return "" if value is None else str(value).strip()


def _ends(spec: KnobSpec) -> tuple[float | None, float | None]:
    """Lowest and highest value; none where the choices are no numbers."""
    if spec.kind != "choice":
        return spec.low, spec.high
    numbers = [c for c in spec.choices if isinstance(c, int | float) and not isinstance(c, bool)]
    return (min(numbers), max(numbers)) if len(numbers) == len(spec.choices) else (None, None)


def _choices(given: object, name: str, spec: KnobSpec) -> tuple[Value, ...]:
    """The choices a person left of a knob's; empty when all of them.

    Raises:
        SettingsError: one is not the knob's.
    """
    if spec.kind != "choice":
        return ()
    known = {_shown(c): c for c in spec.choices}
    named = [word.strip() for word in text(given).split(",") if word.strip()]
    wrong = [word for word in named if word not in known]
    if wrong:
        raise SettingsError(f"{name}: {wrong[0]!r} is not one of its choices", remedy=f"Known: {', '.join(known)}.")
    return () if not named or len(set(named)) == len(known) else tuple(known[w] for w in dict.fromkeys(named))


def _scale(spec: KnobSpec, kept: Sequence[Value] = ()) -> str:
    if spec.kind == "choice":
        return ", ".join(map(_shown, kept or spec.choices))
    return ("log" if spec.log else "linear") + (", whole" if spec.kind == "int" else "")


def _shown(value: Value | None) -> str:
    """As a person types it, so that what is read back is the same number."""
    if value is None:
        return _NONE
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)
