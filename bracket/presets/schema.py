"""What a preset may say.

A preset names the weights it needs, maps knobs to the trainer's own settings, and brings ranges, a baseline, curated
configs and sample defaults. A new model is a new YAML file, not a new Python file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bracket.domain import Config, Knob, Problem
from bracket.environment import presets_folder
from bracket.errors import SettingsError
from bracket.files import given_path
from bracket.strict import STEPS, Plain, Setting, Strict, within
from bracket.weights import check_weight, remains

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_NOMINAL = 1.05
"""A card sold as 24 GB shows a little less."""


class WeightSpec(Strict):
    """One file or folder a preset needs. `default` may hold `{presets}`; `env` names a variable that overrides it."""

    key: str
    label: str
    kind: Literal["file", "folder", "path", "hub"] = "folder"
    """`path` is a file or a folder; `hub` may also be the id of a repository on the Hugging Face hub."""
    default: str = ""
    env: str = ""
    size_gb: Annotated[float, within(0, 1e6)] = 0.0
    source: str = ""
    """Where to get it, in words or as a hub id."""
    must_contain: tuple[str, ...] = ()
    """Files a folder must hold."""
    is_a: tuple[str, ...] = ()
    """What it may be, as `bracket.weights.identify` calls it; empty for anything."""
    optional: bool = False


class KnobSpec(Strict):
    """One searchable knob: where it goes in the trainer's dialect, its default range and kind. See `domain.Knob`."""

    target: str | tuple[str, ...] = ()
    kind: Literal["float", "int", "choice"]
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Setting, ...] = ()
    means: Mapping[str, Mapping[str, Plain]] = Field(default_factory=dict)
    when: Mapping[str, tuple[Setting, ...]] = Field(default_factory=dict)
    otherwise: Setting | None = None
    at_most: Mapping[str, float] = Field(default_factory=dict)
    why: str = ""

    @model_validator(mode="after")
    def _has_a_range(self) -> KnobSpec:
        if self.kind == "choice" and not self.choices:
            raise ValueError("a choice needs `choices`")
        if self.kind != "choice" and (self.low is None or self.high is None or self.low > self.high):
            raise ValueError("a number needs `low` ≤ `high`")
        if self.log and self.low is not None and self.low <= 0:
            raise ValueError("a log scale needs `low` > 0")
        if not self.targets and set(map(str, self.choices)) != set(self.means):
            raise ValueError("a knob needs a `target`, or `means` for each of its choices")
        return self

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,) if isinstance(self.target, str) else self.target

    def knob(self, name: str) -> Knob:
        return Knob(name=name, targets=self.targets, **self.model_dump(exclude={"target"}))


class Script(Strict):
    """One program of a trainer: which of the preset's weights it takes (by flag), and settings of its own."""

    script: str
    weights: Mapping[str, str] = Field(default_factory=dict)
    settings: Mapping[str, Plain] = Field(default_factory=dict)


class Scripts(Strict):
    """A trainer's programs: caches in their order, and the one that trains."""

    cache: tuple[Script, ...] = ()
    train: Script


class VramProfile(Strict):
    """What makes the training fit into so many GB of GPU memory: settings over `fixed`, and the choices that fit."""

    gb: Annotated[int, within(1, 10_000)]
    settings: Mapping[str, Plain] = Field(default_factory=dict)
    choices: Mapping[str, tuple[Setting, ...]] = Field(default_factory=dict)
    about: str = ""


class JudgeDefault(Strict):
    """The judge a preset suggests, with its model: a folder (may hold `{presets}`) or a hub id."""

    kind: str = "clip"
    model: str = "openai/clip-vit-large-patch14"


class RoundDefaults(Strict):
    """Lengths a preset suggests, in optimiser steps and counts."""

    configs: Annotated[int, within(1, 10_000)] = 12
    search_steps: Annotated[int, within(1, STEPS)] = 300
    finals_steps: Annotated[int, within(1, STEPS)] = 600
    finalists: Annotated[int, within(1, 1_000)] = 3
    finals_seeds: Annotated[int, within(1, 100)] = 2
    pairs: Annotated[int, within(0, 1_000)] = 5


class Guess(Strict):
    """What a trial costs on a typical machine, for the first plan; measured speed replaces the seconds."""

    step_seconds: Annotated[float, within(0, 1e6)] = 1.0
    overhead_seconds: Annotated[float, within(0, 1e6)] = 60.0
    trial_mb: Annotated[float, within(0, 1e7)] = 500.0
    """Disk a trial leaves behind: its LoRA, the optimiser's state, and its pictures."""


class Preset(Strict):
    """One model × method × trainer."""

    name: str
    title: str
    trainer: str
    model: str
    method: str
    about: str = ""
    also: str = ""
    """Other words that people look for it by: families of the model, an earlier name."""
    media: Literal["image", "edit", "video"] = "image"
    """What the dataset holds: pictures, pictures with control pictures, or clips (which may be single pictures)."""
    weights: tuple[WeightSpec, ...] = ()
    scripts: Scripts | None = None
    trains: str = ""
    """Key of the weight that a full fine-tune replaces."""
    fixed: Mapping[str, Plain] = Field(default_factory=dict)
    vram: tuple[VramProfile, ...] = ()
    knobs: Mapping[str, KnobSpec]
    baseline: Mapping[str, Setting]
    curated: tuple[Mapping[str, Setting], ...] = ()
    """Differences from the baseline, in the order they are tried."""
    sample: Mapping[str, Plain] = Field(default_factory=dict)
    """How pictures are drawn: width, height, steps, guidance, negative, flow_shift, frames…"""
    prompt_keys: Mapping[str, str] = Field(default_factory=dict)
    """Where the trainer takes a sample setting under another name than usual (guidance: guidance_scale)."""
    judge: JudgeDefault = JudgeDefault()
    rounds: RoundDefaults = RoundDefaults()
    guess: Guess = Guess()
    final_steps: Annotated[int, within(1, STEPS)] = 2000
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

    @model_validator(mode="after")
    def _conditions_look_back(self) -> Preset:
        known: set[str] = set()
        for name, knob in self.knobs.items():
            later = {*knob.when, *knob.at_most} - known
            if later:
                raise ValueError(f"{name} depends on {', '.join(sorted(later))}, which must be a knob before it")
            known.add(name)
        return self

    @model_validator(mode="after")
    def _scripts_name_weights(self) -> Preset:
        scripts = (*self.scripts.cache, self.scripts.train) if self.scripts else ()
        named = {key for script in scripts for key in script.weights.values()} | ({self.trains} - {""})
        unknown = named - {w.key for w in self.weights}
        if unknown:
            raise ValueError(f"scripts name unknown weights: {', '.join(sorted(unknown))}")
        return self

    @property
    def family(self) -> str:
        """The model as the title calls it, for every trainer alike."""
        return self.title.partition(" · ")[0]

    @property
    def least_gb(self) -> int:
        """GPU memory of its smallest profile; 0 when it says none."""
        return min((p.gb for p in self.vram), default=0)

    def profile(self, gb: float) -> VramProfile | None:
        """The profile for a device with `gb` GB of memory: the largest that fits, else the smallest there is."""
        fitting = [p for p in self.vram if p.gb <= gb * _NOMINAL] or sorted(self.vram, key=lambda p: p.gb)[:1]
        return max(fitting, key=lambda p: p.gb, default=None)

    def lower_profile(self, profile: VramProfile | None) -> VramProfile | None:
        """The next profile below, None when there is none."""
        return max((p for p in self.vram if profile and p.gb < profile.gb), key=lambda p: p.gb, default=None)

    def knob_list(self) -> tuple[Knob, ...]:
        return tuple(spec.knob(name) for name, spec in self.knobs.items())

    def curated_configs(self) -> list[Config]:
        """The curated configs, complete: the baseline with their differences."""
        return [{**self.baseline, **c} for c in self.curated]

    def default_weight(self, spec: WeightSpec) -> str:
        """Where a weight lies unless the user says otherwise: its environment variable, else the preset's default."""
        return os.environ.get(spec.env, "") or spec.default.replace("{presets}", str(presets_folder()))

    def has_weight(self, spec: WeightSpec) -> bool:
        """Whether something lies where it is looked for, or a hub id stands there."""
        value = self.default_weight(spec)
        return bool(value) and (
            Path(value).expanduser().exists() or bool(spec.kind == "hub" and _HUB_ID.fullmatch(value))
        )

    def judge_model(self) -> str:
        return self.judge.model.replace("{presets}", str(presets_folder()))

    def check_weights(self, given: Mapping[str, str]) -> list[Problem]:
        """One line for each weight: found, or missing with where to get it."""
        found = [_check_weight(spec, given.get(spec.key) or self.default_weight(spec)) for spec in self.weights]
        return [p if p.level == "info" else replace(p, action=f"weight {i}") for i, p in enumerate(found)]

    def resolve_weights(self, given: Mapping[str, str]) -> dict[str, str]:
        return {s.key: given.get(s.key) or self.default_weight(s) for s in self.weights}


def _check_weight(spec: WeightSpec, value: str) -> Problem:
    size = f" (about {spec.size_gb:g} GB)" if spec.size_gb else ""
    remedy = f"Get it from {spec.source}{size}." if spec.source else "Name its place in Setup."
    if not value:
        level: Literal["error", "info"] = "info" if spec.optional else "error"
        return Problem(level, f"{spec.label}: {'not used' if spec.optional else 'no path given'}", remedy)
    try:
        path = given_path(value)
    except SettingsError as error:
        return Problem("error", f"{spec.label}: {error.message[:1].lower()}{error.message[1:]}", error.remedy)
    if not path.exists():
        if part := remains(path):
            words = f"{spec.label}: its download isn't finished, there is only {part.name}"
            return Problem("error", words, "Finish the download, or begin it again.", path)
        if spec.kind == "hub" and _HUB_ID.fullmatch(value):
            return Problem("info", f"{spec.label}: {value} from the Hugging Face hub")
        return Problem("error", f"{spec.label}: not found", remedy, path)
    if spec.kind == "folder" and not path.is_dir():
        return Problem("error", f"{spec.label}: a folder is needed, this is a file", remedy, path)
    if spec.kind == "file" and not path.is_file():
        return Problem("error", f"{spec.label}: a file is needed, this is a folder", remedy, path)
    if lacking := [name for name in spec.must_contain if not (path / name).exists()]:
        return Problem("error", f"{spec.label}: the folder has no {', '.join(lacking)}", remedy, path)
    return check_weight(path, spec.is_a, spec.label) or Problem("info", f"{spec.label}: found", "", path)
