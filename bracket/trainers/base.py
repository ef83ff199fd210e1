"""The protocol every trainer's adapter fulfils, and what all of them share."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bracket.domain import PART, Config, DatasetSplit, Knob, Launch, Problem, Prompt, Sample, Trial
from bracket.errors import SettingsError, StorageError
from bracket.files import whole_lines, write_json
from bracket.presets import Preset
from bracket.weights import read_header

SAMPLE_INDEX = "index.jsonl"
TRIAL = "trial.json"


@dataclass(frozen=True)
class Job:
    """What a trainer needs to know of a session to build its launches.

    Attributes:
        folder: the session's folder; `folder / "cache"` is shared by all trials.
        weights: the preset's weights by key: absolute paths or hub ids, "" for an optional one that isn't used.
        fixed: settings all trials share, in the trainer's dialect (dotted key or flag to value, `dataset.key`).
        knobs: the session's knobs, for what a config's values mean in that dialect.
        sample: how pictures are drawn (width, height, steps, guidance and what the preset names more).
        prompts: what every trial draws after training (and at `sample_every` steps, 0 for never).
        device: "cuda:0", "cpu", "mps".
        extra_args: an expert's additions to the training command, each one argument.
    """

    folder: Path
    preset: Preset
    dataset: DatasetSplit
    weights: Mapping[str, str]
    fixed: Mapping[str, object]
    knobs: tuple[Knob, ...]
    sample: Mapping[str, object]
    prompts: tuple[Prompt, ...]
    device: str
    sample_every: int = 0
    validate_every: int = 0
    extra_args: tuple[str, ...] = ()


def bare_job(preset: Preset) -> Job:
    """A job with nothing in it, to ask a trainer whether it could run the preset here."""
    nothing = DatasetSplit(Path(), (), (), (), ())
    knobs = preset.knob_list()
    return Job(Path(), preset, nothing, {}, preset.fixed, knobs, preset.sample, (), "cpu")


class Trainer(Protocol):
    """One trainer. Everything it returns is data; only the runner starts processes."""

    name: str
    continues: bool
    """Whether a longer trial may truthfully go on from the state a shorter one saved (`Trial.continues`)."""
    together: bool
    """Whether one launch can train several trials."""

    def check(self, job: Job) -> list[Problem]:
        """What would keep this job from running, before any GPU time is spent."""
        ...

    def prepare(self, job: Job) -> list[Launch]:
        """What to run once per dataset before the trials (caches). Running it again must be cheap."""
        ...

    def launch(self, job: Job, trials: Sequence[Trial]) -> Launch:
        """What trains these trials; writes their config files. Continues where an interrupted trial left off, if the
        trainer can, and begins it anew where not."""
        ...

    def draw(self, job: Job, checkpoint: Path | None, prompts: Sequence[Prompt], out: Path) -> Launch:
        """What draws more pictures from a finished checkpoint (None: the bare base) into `out`."""
        ...

    def find_checkpoint(self, trial: Trial) -> Path | None:
        """The trial's final checkpoint, if it is there and loads."""
        ...

    def find_samples(self, trial: Trial) -> list[Sample]:
        """The trial's pictures so far, oldest step first."""
        ...

    def find_drawn(self, out: Path) -> list[Sample]:
        """The pictures `draw` has made in `out` so far."""
        ...


def settings_of(job: Job, config: Config) -> dict[str, object]:
    """All settings of a trial in its trainer's dialect: the fixed ones, then what the config's values mean."""
    chosen = dict(job.fixed)
    for knob in job.knobs:
        if knob.name in config:
            value = config[knob.name]
            chosen |= dict.fromkeys(knob.targets, value)
            chosen |= knob.means.get(str(value), {})
    return chosen


def write_trial(trial: Trial) -> None:
    """Keep what a trial is in its folder (`trial.json`), for who finds its checkpoint later. Raises StorageError."""
    left_out = ("folder", "continues")
    plain = {k: v for k, v in vars(trial).items() if k not in left_out}
    write_json(trial.folder / TRIAL, {**plain, "config": dict(trial.config)})


def read_samples(folder: Path) -> list[Sample]:
    """Pictures listed in a samples folder's index, oldest step first; a redrawn one counts once.

    A line whose picture is gone is left out, for state is what is on disk; so is one that says nothing of a picture.
    """
    found: dict[tuple[int, str, int], Sample] = {}
    for line in whole_lines(folder / SAMPLE_INDEX):
        with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError, OSError):
            sample = Sample(folder / str(line["path"]), str(line["prompt"]), int(line["seed"]), int(line["step"]))
            if sample.path.is_file():
                found[sample.step, sample.prompt, sample.seed] = sample
    return sorted(found.values(), key=lambda s: s.step)


def drawn_in(trainer: Trainer, folder: Path) -> list[Sample]:
    """The whole pictures in a folder and its parts, one a prompt and seed."""
    found: dict[tuple[str, int], Sample] = {}
    for place in places_of(folder):
        for sample in trainer.find_drawn(place):
            found.setdefault((sample.prompt, sample.seed), sample)
    return list(found.values())


def places_of(folder: Path) -> list[Path]:
    """The folder and its parts, in the order they were begun."""
    parts = [p for p in folder.glob(f"{PART}*") if p.is_dir() and p.name.removeprefix(PART).isdigit()]
    return [folder, *sorted(parts, key=lambda p: int(p.name.removeprefix(PART)))]


def newest(samples: Sequence[Sample]) -> list[Sample]:
    """The samples of the latest step."""
    last = max((s.step for s in samples), default=0)
    return [s for s in samples if s.step == last]


def loads(path: Path) -> bool:
    """Whether a safetensors file is whole: its header parses and its size is what the header says."""
    try:
        return bool(read_header(path).tensors)
    except StorageError:
        return False


def nested(flat: Mapping[str, object]) -> dict[str, Any]:
    """{"a.b": 1} as {"a": {"b": 1}}.

    Raises:
        SettingsError: a key would lie in one that holds a value of its own.
    """
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, leaf = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise SettingsError(f"{key} can't be set beside {parent}", remedy="Take one of them out.")
        node[leaf] = value
    return tree
