"""The nouns of the house, as frozen dataclasses. No disk, no torch, no Gradio.

A *preset* says what may vary (knobs), a *config* is a value for every knob, a *trial* is one config trained with one
seed for so many steps, a *launch* is how a trainer runs it, a *sample* is a picture it drew, a *judgement* is what a
judge said of that picture, and a *result* is a finished trial with all of these.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

from bracket.errors import printable, printable_path

_PARTICULAR = re.compile(r"'[^']*'|\"[^\"]*\"|\S*/\S*|\S+\.[a-z]{2,5}\b|[\d.,]*\d")
Value = float | int | str | bool
Config = Mapping[str, Value]
"""A value for every knob, by the knob's name."""


class Outcome(StrEnum):
    """How a trial ended. Only `OK` trials of one round are ranked together.

    `DIVERGED` is what people are told as *melted*: numbers that are none, or a model that draws nothing any more.
    """

    OK = "ok"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"
    HUNG = "hung"
    STOPPED = "stopped"
    NO_SAMPLES = "no_samples"


class Round(StrEnum):
    """A stage of a session. Trials of one round and rung have equal length and are compared with each other only."""

    SEARCH = "search"
    FINALS = "finals"
    CONFIRMATION = "confirmation"


@dataclass(frozen=True)
class Knob:
    """One hyperparameter that may vary.

    Attributes:
        targets: where the value goes in the trainer's dialect: a dotted key of its config, a flag, `--flag:key` for one
            `key=value` of a flag that takes several, or `dataset.key`.
        means: for a choice that stands for several settings: what each value sets, by the value as text.
        when: the knob only counts in configs where each of these knobs (which come before it) has one of these values;
        otherwise: elsewhere it has this value, or is absent when None.
        at_most: no more than so many times another knob (that comes before it), by that knob's name.
    """

    name: str
    kind: Literal["float", "int", "choice"]
    targets: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Value, ...] = ()
    means: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    otherwise: Value | None = None
    at_most: Mapping[str, float] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True)
class Prompt:
    """What to draw: text and the seed of the starting noise."""

    text: str
    seed: int
    negative: str = ""


@dataclass(frozen=True)
class Picture:
    """One image or clip of a dataset with its caption ("" when it has none).

    Size in pixels after EXIF rotation; 0 × 0 for a clip. `source` is its place in the dataset's sources, `controls` are
    the pictures an edit model is shown with it.
    """

    path: Path
    caption: str
    width: int
    height: int
    source: int = 0
    controls: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Source:
    """One folder of a dataset and how it is trained on.

    Attributes:
        repeats: how often each of its pictures counts in an epoch.
        caption_suffix: suffix of the caption files, with its dot.
        controls: folders of control (edit) pictures, paired by file stem.
        regularisation: pictures that only keep the model as it was.
        class_words: caption of pictures that have none.
        options: settings bracket has no word for, as the trainer's own dataset file named them.
    """

    folder: Path
    media: Literal["image", "video"] = "image"
    repeats: int = 1
    caption_suffix: str = ".txt"
    controls: tuple[Path, ...] = ()
    regularisation: bool = False
    class_words: str = ""
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetSplit:
    """A dataset as a session uses it. Training, validation and prompts never overlap with the verdict's prompts.

    Attributes:
        train: pictures that are trained on.
        validation: held-out pictures for the validation loss.
        prompts: texts every trial draws in search and finals.
        verdict_prompts: texts kept for the confirmation alone.
        trigger_word: the new concept's name in captions and prompts ("" when there is none).
        class_word: what a judge that doesn't know the trigger word is told instead ("" drops the word).
        sources: the folders the pictures come from; empty when `folder` is the only one.
        options: dataset settings that its own file gave, by their house names (resolution, batch_size, enable_bucket…).
        drawn: how a prompt of the user's own file is drawn, by its text: flags by letter, as written (w, h, s, l, d…).
        themes: what a prompt stems from (a template, a caption), by its text; prompts of one theme are not
            independent. One that is not named is a theme of its own.
        origins: where a prompt was taken from, by its text: own, caption (of a picture), bank, recombined (captions).
        kind: of the bank's prompts (person, style…); "" where there are none.
        keep_prompts: texts without the trigger word that show what is kept of what the base could: those of the
            verdict's, and after them others that are drawn for this alone.
    """

    folder: Path
    train: tuple[Picture, ...]
    validation: tuple[Picture, ...]
    prompts: tuple[str, ...]
    verdict_prompts: tuple[str, ...]
    trigger_word: str = ""
    class_word: str = ""
    sources: tuple[Source, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)
    drawn: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    themes: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""
    keep_prompts: tuple[str, ...] = ()

    def shared_themes(self, prompts: Iterable[str]) -> dict[str, str]:
        """The themes of those prompts that share theirs with another of them, by their text."""
        of = {text: self.themes.get(text, text) for text in prompts}
        count = Counter(of.values())
        return {text: theme for text, theme in of.items() if count[theme] > 1}

    def count_themes(self, prompts: Iterable[str]) -> int:
        """How many independent ones there are among these prompts."""
        return len({self.themes.get(text, text) for text in prompts})


@dataclass(frozen=True)
class Trial:
    """One config × one training seed × so many optimiser steps. `id` is also its folder's name under `trials/`.

    `rung` counts the lengths of the search round: survivors of one rung train on in the next. `schedule` is the length
    its learning-rate schedule is laid out for, 0 for its own: a shorter trial is then a prefix of the longer one.
    `continues` is the folder of the trial whose state it goes on from.
    """

    id: str
    round: Round
    origin: str
    """Who proposed it: baseline, curated, a strategy by its name, finalist, winner, runner_up."""
    config: Config
    seed: int
    steps: int
    folder: Path
    schedule: int = 0
    continues: Path | None = None
    rung: int = 0


@dataclass(frozen=True)
class Wanted:
    """What a trial is to be, before it has a number. `continues` is the id of the trial whose state it goes on from."""

    round: Round
    origin: str
    config: Config
    seed: int
    steps: int
    schedule: int = 0
    continues: str = ""
    rung: int = 0


@dataclass(frozen=True)
class Trace:
    """Where a trial's curves appear: a folder of tfevents files, or AI-Toolkit's `loss_log.db`.

    `tags` gives a trainer's names the house's (loss/train, loss/validation, lr, grad_norm); a name mapped to "" is left
    out, such as one whose x axis counts epochs.
    """

    path: Path
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Launch:
    """What to run and where its traces appear. One launch may train several trials.

    Attributes:
        argv: the command, never a shell string.
        env: what is added to (or overrides) the caller's environment.
        cwd: working folder.
        log: file that takes stdout and stderr.
        traces: where the curves appear, one per trial.
        warm_task: for our own trainer: the argv tail a warm worker can run without a new interpreter.
        expected_steps: per trial, for progress.
    """

    trials: tuple[Trial, ...]
    argv: tuple[str, ...]
    cwd: Path
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    traces: tuple[Trace, ...] = ()
    warm_task: tuple[str, ...] | None = None
    expected_steps: int = 0


PART = "part-"
"""How the folder of a part of a drawing begins."""


@dataclass(frozen=True)
class Sample:
    """One generated picture."""

    path: Path
    prompt: str
    seed: int
    step: int

    @property
    def drawing(self) -> Path:
        """The folder of the pictures it was drawn with, of one checkpoint; parts of a drawing lie in folders of it."""
        folder = self.path.parent
        return folder.parent if folder.name.startswith(PART) else folder


TIE_BAND = 0.005
"""Scores nearer than this are a tie: a pointwise judge's own noise (rounding, re-encoding) is of that size."""


@dataclass(frozen=True)
class Judgement:
    """What one judge said of one sample: 0 is worst, 1 is best, on every axis and overall.

    An axis the judge could not or would not answer is absent. `spread` is the standard deviation of the score where the
    judge has one, `how` how the score was had ("expected value", "median of 5").
    """

    sample: Sample
    judge: str
    score: float
    axes: Mapping[str, float]
    spread: float = 0.0
    how: str = ""


@dataclass(frozen=True)
class Preference:
    """A judge's choice between two samples of the same prompt and seed: 1 prefers `a`, 0 prefers `b`, 0.5 is a tie.

    `flipped` when the two orders of showing them gave opposite answers, which counts as a tie.
    """

    a: Sample
    b: Sample
    judge: str
    value: float
    flipped: bool = False


SCALES = {"score": "0 to 1, lower is better", "judged": "0 to 1, higher is better"}
"""What the numbers of files and of `Score` and `Judgement` are. People read both as 0 to 100, higher is better."""


@dataclass(frozen=True)
class Score:
    """Lower is better; every part lies in 0..1. People read 100 times one minus it, see `report.words.score`.

    With a `sample_weight` total and loss part follow from the round's other trials (`bracket.session.score`), and the
    ledger works them out anew whenever it is read. Without one, as by the first edition of the score, they stand.
    `full_weight` is what the samples count where the loss has no right to the rest that a short trial gives it.
    """

    total: float
    loss_part: float
    sample_part: float
    sample_weight: float | None = None
    full_weight: float | None = None


@dataclass(frozen=True)
class TrialResult:
    """A trial that ended, with what it left behind.

    `score` is None unless the outcome is OK and its samples were judged. `axes` are the judge's means over samples.
    `cause` is the reason of a failure with the log lines that show it, `notes` what a reader of the result must know
    beside (how it was continued, that it ran out of memory first).
    """

    trial: Trial
    outcome: Outcome
    cause: str = ""
    score: Score | None = None
    validation_loss: float | None = None
    train_seconds: float = 0.0
    samples: tuple[Sample, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    axes: Mapping[str, float] = field(default_factory=dict)
    checkpoint: Path | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Problem:
    """Something a check found. An `error` must be mended before a start; a `warning` need not.

    Attributes:
        action: what the app can do about it on a click, and undo: "install TRAINER" (leads there), "weight NUMBER"
            (where the preset's weight of this number is named), "set FIELD VALUE" (of the form).
    """

    level: Literal["error", "warning", "info"]
    message: str
    remedy: str = ""
    path: Path | None = None
    action: str = ""

    def __post_init__(self) -> None:
        for name in ("message", "remedy"):
            object.__setattr__(self, name, printable(getattr(self, name)))
        if self.path:
            object.__setattr__(self, "path", printable_path(self.path))

    def __str__(self) -> str:
        where = f" ({self.path})" if self.path else ""
        return f"{self.message}{where}. {self.remedy}".strip()


def by_kind(problems: Iterable[Problem]) -> list[list[Problem]]:
    """Problems that differ in numbers, quoted names and places alone together, each kind where its first one stood."""
    kinds: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        kinds.setdefault((problem.level, _PARTICULAR.sub("#", problem.message)), []).append(problem)
    return list(kinds.values())


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean of a non-empty sequence."""
    return sum(values) / len(values)
