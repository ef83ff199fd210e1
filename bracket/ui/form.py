"""The form of Setup and Run as plain values, and the session's settings they mean. No Gradio."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bracket.dataset import places
from bracket.domain import Value
from bracket.errors import SettingsError
from bracket.files import path_text
from bracket.presets import KnobSpec, Preset, find_preset
from bracket.session.bounds import baseline_problems, bounded_knobs
from bracket.session.launch import checked_name
from bracket.session.settings import Bound, SessionSettings, from_preset, split_words, validated
from bracket.session.settings import DatasetSettings as Pictures
from bracket.ui import judge_form

NUMBERS = {
    "configs": ("search", "configs", "Configs to compare"),
    "steps": ("search", "steps", "Steps in the search"),
    "rungs": ("search", "rungs", "Rungs"),
    "finalists": ("finals", "finalists", "Finalists"),
    "finals_steps": ("finals", "steps", "Steps in the finals"),
    "finals_seeds": ("finals", "seeds", "Seeds in the finals"),
    "pairs": ("confirmation", "pairs", "Paired runs"),
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
KNOB_COLUMNS = ("Knob", "Low", "High", "Baseline", "Scale or choices", "Why")
_NONE = "–"


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
        **judge_form.judge_values(settings),
        "weights": preset.resolve_weights(settings.weights),
        "strategy": settings.search.strategy,
        "reduction": settings.search.reduction,
        "objectives": ", ".join(settings.search.objectives),
        "stop_below": settings.search.stop_below,
        "memory": settings.search.memory,
        "sample_weight": settings.score.sample_weight,
        "extra_args": shlex.join(settings.extra_args),
        "device": settings.device,
        "knobs": knob_rows(preset, settings),
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
        nested[group][field] = _whole(values[name], label)
    dataset = {
        **nested["dataset"],
        "folder": "\n".join(map(str, places(text(values["folder"])))),
        "trigger_word": text(values["trigger_word"]),
        "class_word": text(values["class_word"]),
    }
    bounds, baseline = read_knobs(preset, values["knobs"])
    search = {
        **nested["search"],
        "strategy": values["strategy"],
        "reduction": _number(values["reduction"], REDUCTION),
        "objectives": tuple(w.strip() for w in text(values["objectives"]).split(",") if w.strip()),
        "stop_below": _number(values["stop_below"], "Stop early"),
        "memory": bool(values["memory"]),
    }
    made = validated(
        {
            "preset": preset.name,
            "dataset": dataset,
            "weights": {key: path_text(text(path)) for key, path in values["weights"].items()},
            "search": search,
            "finals": nested["finals"],
            "confirmation": nested["confirmation"],
            "score": {"sample_weight": values["sample_weight"]},
            **judge_form.judges_meant(values),
            "bounds": bounds,
            "baseline": baseline,
            "extra_args": split_words(text(values["extra_args"])),
            "device": text(values["device"]),
            **nested[""],
        }
    )
    for problem in baseline_problems(preset, made, bounded_knobs(preset, made)):
        if problem.level == "error":
            raise SettingsError(problem.message, remedy=problem.remedy)
    return made


def knob_rows(preset: Preset, settings: SessionSettings) -> list[list[str]]:
    """The knob table: name, low, high, baseline, scale, why; a choice shows its lowest and highest."""
    rows = []
    baseline = {**preset.baseline, **settings.baseline}
    for name, spec in preset.knobs.items():
        low, high = _ends(spec)
        bound = settings.bounds.get(name, Bound())
        low = low if bound.low is None else bound.low
        high = high if bound.high is None else bound.high
        rows.append([name, _shown(low), _shown(high), _shown(baseline[name]), _scale(spec, bound.choices), spec.why])
    return rows


def read_knobs(preset: Preset, rows: Sequence[Sequence[object]]) -> tuple[dict[str, Bound], dict[str, Value]]:
    """Bounds and baseline that differ from the preset's own.

    Raises:
        SettingsError: a cell holds no number where one is needed, or low is above high; names the knob.
    """
    bounds: dict[str, Bound] = {}
    baseline: dict[str, Value] = {}
    for name, low, high, base, kept in ((str(r[0]), r[1], r[2], r[3], r[4]) for r in rows):
        spec = preset.knobs.get(name)
        if spec is None:
            continue
        own = _ends(spec)
        ends = [None if e is None else _number(given, name) for e, given in zip(own, (low, high), strict=True)]
        if ends[0] is not None and ends[1] is not None and ends[0] > ends[1]:
            raise SettingsError(f"{name}: low {_shown(ends[0])} is above high {_shown(ends[1])}", remedy="Swap them.")
        choices = _choices(kept, name, spec)
        if ends != list(own) or choices:
            low_, high_ = ends if ends != list(own) else (None, None)
            bounds[name] = Bound(low=low_, high=high_, choices=choices)
        value = _baseline(base, name, spec)
        if value != preset.baseline[name]:
            baseline[name] = value
    return bounds, baseline


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


def _whole(value: object, label: str) -> int:
    if isinstance(value, int):
        return int(value)
    try:
        number = float(str(value))
    except ValueError:
        raise SettingsError(f"{label}: a whole number is needed", remedy="Type one.") from None
    if not number.is_integer():
        raise SettingsError(f"{label}: {number:g} is not a whole number", remedy="Round it.")
    return int(number)


def _number(value: object, name: str) -> float:
    try:
        number = float(text(value).replace(",", "."))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise SettingsError(f"{name}: {text(value)!r} is not a number", remedy="Type one like 0.001 or 1e-3.")
    return number


def _baseline(given: object, name: str, spec: KnobSpec) -> Value:
    if spec.kind == "choice":
        for choice in spec.choices:
            if text(given) == _shown(choice):
                return choice
        known = ", ".join(map(_shown, spec.choices))
        raise SettingsError(
            f"{name}: the baseline {text(given)!r} is not one of its choices", remedy=f"Known: {known}."
        )
    return _whole(_number(given, name), name) if spec.kind == "int" else _number(given, name)


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
