"""What a session was asked: `session.yaml`, validated and fingerprinted."""

from __future__ import annotations

import copy
import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator
from pydantic_core import to_jsonable_python

from bracket.errors import SettingsError
from bracket.files import write_text
from bracket.presets import Preset, find_preset
from bracket.reading import Unreadable, from_yaml, read_text, why
from bracket.search.pareto import OBJECTIVES
from bracket.search.rungs import Rung
from bracket.search.strategies.protocol import HALVING, rungs_of, whole_reduction
from bracket.session.asked.dataset import DatasetSettings as DatasetSettings
from bracket.session.asked.seeds import Seeds
from bracket.stats.duel.tries import MOST_ALPHA
from bracket.strict import STEPS, Plain, Setting, Strict, plain_error, within

FILE = "session.yaml"
_TRIES = 20
_WHERE = {"workers", "device"}
"""Settings that say where and not what: they may change on a resume, and no fingerprint is of them."""


class SearchSettings(Strict):
    """How configs are proposed and how long each is trained, in optimiser steps."""

    strategy: Literal["tournament", "screen", "tpe", "random", "hyperband", "asha", "nsga2"] = "tournament"
    configs: Annotated[int, within(1, 10_000, "more trainings than anybody has time for")] = 12
    """Configs compared, the baseline and the curated ones included."""
    steps: Annotated[int, within(1, STEPS)] = 300
    """Steps of a search trial; where trials get longer from rung to rung, of the longest."""
    rungs: Annotated[int, within(1, 20)] = 2
    """How many lengths a tournament has before the finals."""
    reduction: Annotated[float, within(1, 1_000)] = Field(6.0, gt=1)
    """From rung to rung configs get so many times fewer; a tournament's trials get twice as long, those of asha and
    hyperband so many times longer."""
    curated: Annotated[int, within(-1, 10_000)] = -1
    """How many of the preset's curated configs are tried first; -1 for all."""
    stop_below: float = Field(0.0, ge=0, lt=1)
    """The search ends early once the rest of it is expected to improve the best score by less; 0 for never."""
    memory: bool = False
    """Earlier sessions of the same preset give the sampler a beginning."""
    objectives: tuple[str, ...] = ()
    """Axes of the judge that nsga2 looks for (likeness and adherence unless told otherwise), that finalists are chosen
    by before the score, and that the report draws against each other; a panel's are called `member.axis`."""

    @model_validator(mode="before")
    @classmethod
    def _with_objectives(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("strategy") == "nsga2" and not data.get("objectives"):
            return {**data, "objectives": OBJECTIVES}
        return data

    @model_validator(mode="after")
    def _possible(self) -> SearchSettings:
        if self.objectives and len(set(self.objectives)) < max(2, len(self.objectives)):
            raise ValueError("objectives: name at least two axes of the judge, each once")
        if self.strategy in HALVING:
            whole_reduction(self.reduction)
        return self


class FinalsSettings(Strict):
    """The best configs and the baseline again: longer, more training seeds."""

    finalists: Annotated[int, within(1, 1_000)] = 3
    steps: Annotated[int, within(1, STEPS)] = 600
    seeds: Annotated[int, within(1, 100)] = 2
    go_on: bool = True
    """Finalists train on from their search trial, with its seed as one of theirs, where the trainer can do that
    truthfully; otherwise every finals trial begins anew."""


class ConfirmationSettings(Strict):
    """The duel: winner against baseline on prompts and seeds that took no part in choosing."""

    sample_seeds: Annotated[int, within(1, 100)] = 2
    """Pictures per verdict prompt and checkpoint, for the claim about the checkpoint."""
    pairs: Annotated[int, within(0, 1_000)] = 5
    """Fresh paired trainings, for the claim about the config; fewer than five can't support one."""
    alpha: float = Field(0.05, gt=0, le=MOST_ALPHA)
    live_share: float = Field(0.2, ge=0, lt=1)
    """Part of alpha that deciding a duel early may spend, where enough units are planned to decide early."""
    runner_up: bool = False
    """Also compare the winner with the finals' second beside the baseline. A claim then takes a pair more."""
    stamp: bool = False
    """Have a time-stamp authority sign the plan's hash when it is fixed; `BRACKET_TIMESTAMP_URL` says which."""
    keep_at_least: Annotated[int, within(0, 100, "it is a percentage")] = 0
    """Percentage of what the base could without the trigger word that a winner has to keep to be recommended; 0 for
    none."""


class ScoreSettings(Strict):
    """How much the judged samples count against the validation loss."""

    sample_weight: float = Field(0.7, ge=0, le=1)
    """In trials of the finals' length."""
    ramp: bool = True
    """In shorter trials the samples count less, by the square of their length's share, and the validation loss more."""
    edition: Annotated[int, within(1, 2)] = 2
    """By which rule a score follows from its parts: see `bracket.session.score`."""

    @property
    def loss_weight(self) -> float:
        return 1.0 - self.sample_weight


class JudgeSettings(Strict):
    """Which judge looks at the pictures. What a kind has no use for it ignores."""

    kind: str = "clip"
    """clip, qwen_vl, openai_api or reference."""
    model: str = ""
    """Folder or hub id of the judge's model; its name on the server for openai_api."""
    weights: Mapping[str, float] = Field(default_factory=dict)
    """Weights of the judge's axes, over its own defaults."""
    batch_size: Annotated[int, within(1, 4_096)] = 16
    share: Annotated[float, within(0, 1_000_000)] = 1.0
    """What it counts beside the session's other judges."""
    rubric: str = ""
    """YAML with the questions of a vision-language judge; empty for the one that ships."""
    url: str = ""
    """Address of an OpenAI-compatible server, such as http://localhost:1234/v1."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the server's key; the key itself is never written down."""
    repeats: Annotated[int, within(1, 100)] = 5
    """How often a question is asked where the model's probabilities can't be had."""
    references: Annotated[int, within(0, 64)] = 2
    """Training pictures shown with the question about likeness."""
    quantize: Literal["", "8bit", "4bit"] = ""
    device: str = ""
    """Where a local model runs; empty for the GPU when there is one."""
    timeout: Annotated[float, within(0, 86_400, "nobody waits longer than a day for an answer")] = Field(120.0, gt=0)
    """Seconds a server may take for an answer."""
    concurrency: Annotated[int, within(1, 1_024)] = 4
    """Questions sent to a server at once."""


class Bound(Strict):
    """Limits that every config of the session is clamped to."""

    low: float | None = None
    high: float | None = None
    choices: tuple[Setting, ...] = ()

    @model_validator(mode="after")
    def _ordered(self) -> Bound:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")
        return self


class SessionSettings(Strict):
    """Everything a session was asked. Two sessions with the same fingerprint ask the same question."""

    preset: str
    dataset: DatasetSettings
    weights: Mapping[str, str] = Field(default_factory=dict)
    search: SearchSettings = SearchSettings()
    finals: FinalsSettings = FinalsSettings()
    confirmation: ConfirmationSettings = ConfirmationSettings()
    score: ScoreSettings = ScoreSettings()
    judge: JudgeSettings = JudgeSettings()
    other_judges: tuple[JudgeSettings, ...] = ()
    """Judges beside the first; the score is their mean by `share`."""
    bounds: Mapping[str, Bound] = Field(default_factory=dict)
    baseline: Mapping[str, Setting] = Field(default_factory=dict)
    """Changes to the preset's baseline."""
    sample: Mapping[str, Plain] = Field(default_factory=dict)
    """Changes to the preset's sample defaults (width, height, steps, guidance)."""
    fixed: Mapping[str, Plain] = Field(default_factory=dict)
    """Changes to the preset's fixed settings, in the trainer's dialect."""
    pairwise: Annotated[int, within(0, 10_000)] = 0
    """Pairs of finals configs whose pictures the judge compares side by side, closest in score first; 0 for none."""
    sample_every: Annotated[int, within(0, STEPS)] = 0
    validate_every: Annotated[int, within(0, STEPS)] = 0
    extra_args: tuple[str, ...] = ()
    """An expert's additions to the training command, each one argument."""
    vram: Annotated[int, within(0, 10_000, "it is in GB")] = 0
    """GB of GPU memory that the preset's profile is chosen for; 0 for what the device has."""
    seed: Annotated[int, within(0, 2**64 - 1)] = 0
    seed_edition: Annotated[int, within(1, 2)] = 2
    """By which rule the seeds of trainings and pictures follow from it: see `bracket.session.asked.seeds`."""
    device: str = ""
    """"cpu", "cuda:0"…; empty for whatever the machine has."""
    workers: Annotated[int, within(0, 1_024, "each is a training of its own")] = 0
    """Trials at a time; 0 for one per GPU, or one per core without a GPU. Does not change the question asked."""

    def question(self) -> dict[str, Any]:
        """The settings as plain data, without what says where and not what: that may change on a resume."""
        return self.model_dump(mode="json", exclude=_WHERE)

    @property
    def fingerprint(self) -> str:
        """Of everything that `save` writes down. A session keeps the one in its file: `fingerprint_in`."""
        return _fingerprint(self.question())

    @property
    def seeds(self) -> Seeds:
        return Seeds(self.seed, self.seed_edition)

    @property
    def judges(self) -> tuple[JudgeSettings, ...]:
        return (self.judge, *self.other_judges)

    def of_editions(self, seeds: int, score: int) -> SessionSettings:
        """The same question by the rules of another time."""
        scored = self.score.model_copy(update={"edition": score})
        return self.model_copy(update={"seed_edition": seeds, "score": scored})

    def load_preset(self) -> Preset:
        return find_preset(self.preset)

    def search_rungs(self) -> tuple[Rung, ...]:
        """What the search plans to train."""
        s = self.search
        return rungs_of(
            s.strategy,
            configs=s.configs,
            steps=s.steps,
            rounds=s.rungs,
            reduction=s.reduction,
            finalists=self.finals.finalists,
        )


def from_preset(preset: Preset, dataset: DatasetSettings, **changes: Any) -> SessionSettings:
    """Settings with the preset's suggested lengths and judge; `changes` override whole fields."""
    r = preset.rounds
    suggested: dict[str, Any] = {
        "preset": preset.name,
        "dataset": dataset,
        "search": SearchSettings(configs=r.configs, steps=r.search_steps),
        "finals": FinalsSettings(finalists=r.finalists, steps=r.finals_steps, seeds=r.finals_seeds),
        "confirmation": ConfirmationSettings(pairs=r.pairs),
        "judge": JudgeSettings(kind=preset.judge.kind, model=preset.judge_model()),
        "weights": preset.resolve_weights({}),
    }
    return validated({**suggested, **changes})


def validated(data: Mapping[str, Any]) -> SessionSettings:
    """Settings from plain data.

    Raises:
        SettingsError: a field is unknown or doesn't fit; names it.
    """
    try:
        return SessionSettings.model_validate(data)
    except ValidationError as error:
        raise SettingsError(
            f"these settings don't fit: {plain_error(error, SessionSettings)}", remedy="Mend what it names."
        ) from error


def split_words(text: str) -> tuple[str, ...]:
    """What a person typed as extra arguments, as words; quotes keep blanks together as in a shell, nothing else does.

    Raises:
        SettingsError: a quote is not closed.
    """
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise SettingsError(f"the extra arguments can't be read: {error}", remedy="Close the quote.") from error


def save(settings: SessionSettings, folder: Path) -> None:
    """Write `session.yaml` into the session's folder: every setting, whether or not it is the default, so that a later
    bracket's defaults change nothing about the session.

    Raises:
        StorageError: the folder can't be written.
    """
    _write({"fingerprint": settings.fingerprint, **settings.model_dump(mode="json")}, folder)


def save_workers(workers: int, folder: Path) -> None:
    """Change how many trials a session runs at a time; all else that its file says stays as it is.

    Raises:
        SettingsError: as `load`, or for less than 0 workers.
        StorageError: the folder can't be written.
    """
    load(folder)
    said = {**_read(folder), "workers": workers}
    validated({name: value for name, value in said.items() if name != "fingerprint"})
    _write(said, folder)


def load(folder: Path, *, to_read: bool = False) -> SessionSettings:
    """Read a session's settings. One that the file of an earlier bracket doesn't name has its default.

    Args:
        to_read: the session is only looked at, which is possible also where its settings were edited since.

    Raises:
        SettingsError: there is no session, the file is damaged, or it was edited since it was written.
    """
    said = _read(folder)
    stored, found = said.pop("fingerprint", None), _fingerprint(said)
    try:
        settings = validated(said)
    except SettingsError as error:
        if to_read:
            return _as_of(said, validated(_fitting(said)))
        if stored == found:  # as an earlier bracket wrote it, which took more
            remedy = "Its results stay; ask the same without this in a new session."
            raise SettingsError(error.message, path=folder / FILE, remedy=remedy) from error
        settings = None
    if (settings is None or stored not in (found, _beside_defaults(settings))) and not to_read:
        raise SettingsError(
            f"session.yaml was changed after the session began (fingerprint {found}, was {stored})",
            path=folder / FILE,
            remedy="Put it back, or start a new session with the new settings.",
        )
    assert settings is not None
    return _as_of(said, settings)


def _as_of(said: Mapping[str, Any], settings: SessionSettings) -> SessionSettings:
    """The settings of a file with the seeds and the score of its time."""
    seeds = settings.seed_edition if "seed_edition" in said else 1
    return settings.of_editions(seeds, settings.score.edition if "edition" in (said.get("score") or {}) else 1)


def _fitting(said: dict[str, Any]) -> dict[str, Any]:
    """What of a file's settings still fits, for who only looks at the session."""
    said = copy.deepcopy(said)
    for _ in range(_TRIES):
        try:
            SessionSettings.model_validate(said)
        except ValidationError as error:
            for wrong in error.errors(include_url=False):
                within: Any = said
                for part in wrong["loc"]:
                    inner = within.get(part) if isinstance(within, dict) else None
                    if not isinstance(inner, dict) or part == wrong["loc"][-1]:
                        break
                    within = inner
                if isinstance(within, dict):
                    within.pop(part, None)
    return said


def session_folders(runs: Path) -> list[Path]:
    """The sessions under a folder, by name; what is still being made is hidden and none yet."""
    return sorted(p.parent for p in runs.glob(f"*/{FILE}") if not p.parent.name.startswith("."))


def fingerprint_in(folder: Path) -> str:
    """The fingerprint that a session's file holds, by which its report and its certificate name it; "" for none.

    Raises:
        SettingsError: there is no session, or the file is damaged.
    """
    return str(_read(folder).get("fingerprint", ""))


def _read(folder: Path) -> dict[str, Any]:
    """What a session's file says, as it says it."""
    path = folder / FILE
    remedy = "Restore the file, or start a new session; finished trials stay in the folder."
    try:
        said = from_yaml(read_text(path))
    except FileNotFoundError as error:
        raise SettingsError("there is no session here", path=folder, remedy="Check the folder's name.") from error
    except (OSError, Unreadable) as error:
        raise SettingsError(f"session.yaml can't be read: {why(error)}", path=path, remedy=remedy) from error
    if not isinstance(said, dict):
        raise SettingsError("session.yaml is damaged: it holds no settings", path=path, remedy=remedy)
    return said


def _write(said: Mapping[str, Any], folder: Path) -> None:
    write_text(folder / FILE, yaml.safe_dump(dict(said), sort_keys=False, allow_unicode=True))


def _fingerprint(said: Mapping[str, Any]) -> str:
    """First 16 hex digits of the SHA-256 of settings as they are written, in whatever order."""
    asked = to_jsonable_python({name: value for name, value in said.items() if name not in _WHERE})
    return hashlib.sha256(json.dumps(asked, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def _beside_defaults(settings: SessionSettings) -> str:
    """The fingerprint that sessions had for a while: of what differs from the defaults."""
    return _fingerprint(settings.model_dump(mode="json", exclude_defaults=True))
