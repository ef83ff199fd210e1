"""Presets as data: one YAML in `presets/` per model × method × trainer.

A preset names the weights it needs, maps knobs to the trainer's own settings, and brings ranges, a baseline, curated
configs and sample defaults. A new model is a new YAML file, not a new Python file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bracket.domain import Config, Knob, Problem, Value
from bracket.environment import presets_folder
from bracket.errors import PresetError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WeightSpec(_Strict):
    """One file or folder a preset needs. `default` may hold `{presets}`; `env` names a variable that overrides it."""

    key: str
    label: str
    kind: Literal["file", "folder"] = "folder"
    default: str = ""
    env: str = ""
    size_gb: float = 0.0
    source: str = ""
    """Where to get it, in words or as a hub id."""
    must_contain: tuple[str, ...] = ()
    """Files a folder must hold."""


class KnobSpec(_Strict):
    """One searchable knob: where it goes in the trainer's dialect, its default range and kind."""

    target: str
    kind: Literal["float", "int", "choice"]
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Value, ...] = ()
    when: Mapping[str, tuple[Value, ...]] = Field(default_factory=dict)
    why: str = ""

    @model_validator(mode="after")
    def _has_a_range(self) -> KnobSpec:
        if self.kind == "choice" and not self.choices:
            raise ValueError("a choice needs `choices`")
        if self.kind != "choice" and (self.low is None or self.high is None or self.low > self.high):
            raise ValueError("a number needs `low` ≤ `high`")
        if self.log and self.low is not None and self.low <= 0:
            raise ValueError("a log scale needs `low` > 0")
        return self

    def knob(self, name: str) -> Knob:
        return Knob(name=name, **self.model_dump())


class JudgeDefault(_Strict):
    """The judge a preset suggests, with its model folder (may hold `{presets}`)."""

    kind: str = "clip"
    model: str = ""


class RoundDefaults(_Strict):
    """Lengths a preset suggests, in optimiser steps and counts."""

    configs: int = 12
    search_steps: int = 300
    finals_steps: int = 600
    finalists: int = 3
    finals_seeds: int = 2
    pairs: int = 5


class Guess(_Strict):
    """What a trial costs on a typical machine, for the first plan; measured speed replaces the seconds."""

    step_seconds: float = 1.0
    overhead_seconds: float = 60.0
    trial_mb: float = 500.0
    """Disk a trial leaves behind: its LoRA, the optimiser's state, and its pictures."""


class Preset(_Strict):
    """One model × method × trainer."""

    name: str
    title: str
    trainer: str
    model: str
    method: str
    about: str = ""
    weights: tuple[WeightSpec, ...] = ()
    fixed: Mapping[str, object] = Field(default_factory=dict)
    knobs: Mapping[str, KnobSpec]
    baseline: Mapping[str, Value]
    curated: tuple[Mapping[str, Value], ...] = ()
    """Differences from the baseline, in the order they are tried."""
    sample: Mapping[str, object] = Field(default_factory=dict)
    judge: JudgeDefault = JudgeDefault()
    rounds: RoundDefaults = RoundDefaults()
    guess: Guess = Guess()
    final_steps: int = 2000
    """Steps of a full training with the winner, outside any search."""

    @model_validator(mode="after")
    def _configs_name_knobs(self) -> Preset:
        for label, config in (("baseline", self.baseline), *((f"curated {i}", c) for i, c in enumerate(self.curated))):
            unknown = set(config) - set(self.knobs)
            if unknown:
                raise ValueError(f"{label} names unknown knobs: {', '.join(sorted(unknown))}")
        missing = set(self.knobs) - set(self.baseline)
        if missing:
            raise ValueError(f"the baseline has no value for: {', '.join(sorted(missing))}")
        return self

    def knob_list(self) -> tuple[Knob, ...]:
        return tuple(spec.knob(name) for name, spec in self.knobs.items())

    def curated_configs(self) -> list[Config]:
        """The curated configs, complete: the baseline with their differences."""
        return [{**self.baseline, **c} for c in self.curated]

    def default_weight(self, spec: WeightSpec) -> str:
        """Where a weight lies unless the user says otherwise: its environment variable, else the preset's default."""
        return os.environ.get(spec.env, "") or spec.default.replace("{presets}", str(presets_folder()))

    def judge_model(self) -> str:
        return self.judge.model.replace("{presets}", str(presets_folder()))

    def check_weights(self, given: Mapping[str, str]) -> list[Problem]:
        """One line for each weight: found, or missing with where to get it."""
        return [_check_weight(spec, given.get(spec.key) or self.default_weight(spec)) for spec in self.weights]

    def resolve_weights(self, given: Mapping[str, str]) -> dict[str, str]:
        return {s.key: given.get(s.key) or self.default_weight(s) for s in self.weights}


def _check_weight(spec: WeightSpec, value: str) -> Problem:
    remedy = f"Get it from {spec.source}." if spec.source else "Name its folder in Setup."
    if not value:
        return Problem("error", f"{spec.label}: no path given", remedy)
    path = Path(value).expanduser()
    if not path.exists():
        return Problem("error", f"{spec.label}: not found", remedy, path)
    if spec.kind == "folder" and not path.is_dir():
        return Problem("error", f"{spec.label}: a folder is needed, this is a file", remedy, path)
    lacking = [name for name in spec.must_contain if not (path / name).exists()]
    if lacking:
        return Problem("error", f"{spec.label}: the folder has no {', '.join(lacking)}", remedy, path)
    return Problem("info", f"{spec.label}: found", "", path)


def load_preset(path: Path) -> Preset:
    """Read one preset.

    Raises:
        PresetError: the file is missing, is no YAML, or doesn't fit; names the place and what is wrong there.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PresetError(f"the preset can't be read: {error.strerror}", path=path) from error
    except yaml.YAMLError as error:
        raise PresetError(f"the preset is no YAML: {error}", path=path, remedy="Mend the line it names.") from error
    try:
        return Preset.model_validate(raw)
    except ValidationError as error:
        raise PresetError(f"the preset doesn't fit: {plain(error)}", path=path) from error


def plain(error: ValidationError) -> str:
    """A pydantic error as one line: place and reason, first three only."""
    parts = [f"{'.'.join(map(str, e['loc'])) or 'whole'}: {e['msg']}" for e in error.errors()[:3]]
    return "; ".join(parts)


def list_presets(folder: Path | None = None) -> list[Preset]:
    """Every preset under `presets/`, sorted by title, the embedded demo first."""
    files = sorted((folder or presets_folder()).glob("*/*.yaml"))
    found = [load_preset(f) for f in files]
    return sorted(found, key=lambda p: (p.name != DEMO_PRESET, p.title))


def find_preset(name: str, folder: Path | None = None) -> Preset:
    """The preset called `name`.

    Raises:
        PresetError: there is none; names the nearest.
    """
    import difflib

    presets = list_presets(folder)
    for preset in presets:
        if preset.name == name:
            return preset
    near = difflib.get_close_matches(name, [p.name for p in presets], 1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(p.name for p in presets)}."
    raise PresetError(f"there is no preset called {name!r}", remedy=hint)


DEMO_PRESET = "embedded-demo"
