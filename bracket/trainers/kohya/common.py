"""What sd-scripts and musubi-tuner share: command lines, prompt files, where things appear, how pictures are drawn.

Their train scripts draw samples themselves, with the trained weights in memory and the seed of every prompt fixed. More
pictures of a finished checkpoint come out of the same sampler: the train script is started with the checkpoint as its
`--network_weights` (a full checkpoint in place of the model), `--sample_at_first`, and no step to train. The trainers'
separate generation scripts use other schedulers and defaults; pictures of the two could not be compared.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

from bracket.dataset.reading.keys import Keys, fits
from bracket.dataset.reading.prompts import sampling
from bracket.dataset.splitting import sources_of
from bracket.dataset.writing.dialects import overruled
from bracket.domain import Config, Launch, Picture, Problem, Prompt, Sample, Trace, Trial
from bracket.errors import StorageError
from bracket.files import read_json, write_json, write_text
from bracket.homes import Home, checked_home, find_home
from bracket.homes.look import distributions, interpreter
from bracket.presets import Script, Scripts
from bracket.runner.reading.traces import write_trace
from bracket.trainers.additions import given, numbers, taken, unknown_samples, unknown_settings
from bracket.trainers.artefacts import kohya_samples
from bracket.trainers.base import Job, loads, settings_of, write_trial
from bracket.trainers.kohya.flags import flags
from bracket.trainers.kohya.refusals import refusals

DATASET = "dataset."
CHECKPOINTS, EVENTS, PROMPTS, DATASET_FILE = "checkpoints", "tfevents", "prompts.json", "dataset.toml"


class KohyaTrainer(ABC):
    """One of kohya's trainers. It trains one trial a launch, and begins an interrupted one anew: neither trainer goes
    on from a state with the same steps, schedule and data order (`--resume` starts their counts again)."""

    name: str
    continues = False
    together = False
    title: str
    tags: Mapping[str, str]
    dialect: str
    dataset_keys: ClassVar[Keys]
    prompt_keys: Mapping[str, str]
    """House names of sample settings as keys of a prompt in the trainer's JSON prompt file."""

    @abstractmethod
    def program(self, home: Home, script: str) -> Path:
        """The script's file."""

    @abstractmethod
    def dataset_toml(self, job: Job, settings: Mapping[str, object]) -> str:
        """The dataset in the trainer's dialect; links its pictures under the session's cache."""

    @abstractmethod
    def prepare(self, job: Job) -> list[Launch]:
        """The launches that fill the caches which are not filled yet."""

    def environment(self, home: Home) -> dict[str, str]:
        """What the trainer's processes are told beside what every launch is."""
        return {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}

    def trial_flags(self, job: Job, trial: Trial) -> dict[str, object]:
        """Flags that only this trainer has and that depend on the trial's length."""
        return {}

    def check(self, job: Job) -> list[Problem]:
        home, problems = checked_home(self.name)
        problems = [*problems, *_additions(job, self)]
        if home is None:
            return problems
        sound = all(p.level != "error" for p in problems)
        problems += refusals(self, job, home, {*given(job), *_flags_in(job.extra_args)}, sound)
        return problems + overruled(sources_of(job.dataset), job.dataset.options, searched_options(job))

    def launch(self, job: Job, trials: Sequence[Trial]) -> Launch:
        (trial,) = trials
        for name in (CHECKPOINTS, EVENTS):
            shutil.rmtree(trial.folder / name, ignore_errors=True)
        trace = Trace(trial.folder / EVENTS, self.tags)
        write_trace(trial.folder, trace)
        write_trial(trial)
        argv = self._train_argv(
            job,
            trial.folder,
            trial.config,
            job.prompts,
            {
                "--seed": trial.seed,
                "--max_train_steps": trial.steps,
                "--output_name": trial.id,
                "--logging_dir": str(trial.folder / EVENTS),
                "--log_with": "tensorboard",
                "--sample_every_n_steps": interval(trial.steps, job.sample_every),
                **self.trial_flags(job, trial),
            },
        )
        log = trial.folder / "logs" / "trainer.log"
        return self.run(argv, log, trials=(trial,), traces=(trace,), expected_steps=trial.steps)

    @abstractmethod
    def draw(self, job: Job, checkpoint: Path | None, prompts: Sequence[Prompt], out: Path) -> Launch:
        """A training of no steps that draws before it would begin."""

    def find_checkpoint(self, trial: Trial) -> Path | None:
        path = trial.folder / CHECKPOINTS / f"{trial.id}.safetensors"
        return path if loads(path) else None

    def find_samples(self, trial: Trial) -> list[Sample]:
        return self.find_drawn(trial.folder)

    def find_drawn(self, out: Path) -> list[Sample]:
        try:
            lines = read_json(out / PROMPTS)
        except StorageError:
            return []
        prompts = [Prompt(p["prompt"], p["seed"]) for p in lines]
        return kohya_samples(out / CHECKPOINTS / "sample", prompts, dialect=self.dialect)

    def run(
        self,
        argv: Sequence[str],
        log: Path,
        *,
        trials: tuple[Trial, ...] = (),
        traces: tuple[Trace, ...] = (),
        expected_steps: int = 0,
    ) -> Launch:
        """A launch of one of the trainer's programs in its own folder and Python."""
        home = find_home(self.name)
        return Launch(
            trials=trials,
            argv=(str(home.python), *argv),
            cwd=home.folder,
            log=log,
            env=self.environment(home),
            traces=traces,
            expected_steps=expected_steps,
        )

    def _train_argv(
        self, job: Job, folder: Path, config: Config, prompts: Sequence[Prompt], more: Mapping[str, object]
    ) -> list[str]:
        """The training command; writes the dataset and prompt files it names into `folder`."""
        script = scripts_of(job).train
        argv = self._argv(job, script, folder, {**script.settings, **settings_of(job, config)}, prompts, more)
        return [*argv, *job.extra_args]

    def _argv(
        self,
        job: Job,
        script: Script,
        folder: Path,
        settings: Mapping[str, object],
        prompts: Sequence[Prompt],
        more: Mapping[str, object],
    ) -> list[str]:
        """A train script's command with these settings; `more` stands above them."""
        write_text(folder / DATASET_FILE, self.dataset_toml(job, settings))
        write_json(folder / PROMPTS, [self._prompt(job, p) for p in prompts])
        ours = {"--output_dir": str(folder / CHECKPOINTS), "--sample_prompts": str(folder / PROMPTS), **more}
        dataset = {"--dataset_config": str(folder / DATASET_FILE)}
        program = self.program(find_home(self.name), script.script)
        return [str(program), *flags({**weight_flags(job, script), **dataset, **settings, **ours})]

    def _prompt(self, job: Job, prompt: Prompt) -> dict[str, Any]:
        """A prompt as the trainers' JSON prompt files have it; nothing in its text can become an option there."""
        keys = {**self.prompt_keys, **job.preset.prompt_keys}
        settings = {**job.sample, **({"negative": prompt.negative} if prompt.negative else {})}
        named = {keys.get(k, k): v for k, v in settings.items()}
        own = sampling(self.name, job.dataset.drawn.get(prompt.text, {}))
        return {"prompt": prompt.text, "seed": prompt.seed, **named, **own}


def weight_flags(job: Job, script: Script) -> dict[str, object]:
    """The flags that name a script's weights; an optional one that isn't used is left out."""
    return {flag: job.weights[key] for flag, key in script.weights.items() if job.weights.get(key)}


def dataset_options(job: Job, settings: Mapping[str, object]) -> dict[str, object]:
    """The dataset's settings: the preset's, above them what its own file said, above that what the search decides."""
    chosen = {k.removeprefix(DATASET): v for k, v in settings.items() if k.startswith(DATASET)}
    return {**chosen, **{k: v for k, v in job.dataset.options.items() if k not in searched_options(job)}}


def searched_options(job: Job) -> set[str]:
    """Dataset settings that knobs set: the search decides those, not the dataset's file."""
    return {t.removeprefix(DATASET) for k in job.knobs for t in k.targets if t.startswith(DATASET)}


def dataset_variants(job: Job, keys: Sequence[str]) -> list[dict[str, object]]:
    """All settings that trials can have as far as the dataset settings `keys` go, which change what is cached. Knobs
    that are ranges stay at the baseline's value: what they change, each trial caches itself."""
    at = {f"{DATASET}{key}" for key in keys}
    knobs = [k for k in job.knobs if k.choices and at & {*k.targets, *(t for m in k.means.values() for t in m)}]
    return [
        settings_of(job, {**config_of(job, None), **dict(zip((k.name for k in knobs), values, strict=True))})
        for values in product(*(k.choices for k in knobs))
    ]


def is_prepared(launch: Launch, pictures: Sequence[Picture]) -> bool:
    """Whether a cache launch already ran to its end for these very pictures; notes what it is asked for.

    A picture counts as another one when its file, its caption or a control picture changed.
    """
    request = launch.log.with_suffix(".request.json")
    asked = {"argv": list(launch.argv), "pictures": _digest(pictures)}
    try:
        done = bool(read_json(request) == asked and read_json(launch.log.with_suffix(".exit.json"))["code"] == 0)
    except StorageError:
        done = False
    if not done:
        write_json(request, asked)
        launch.log.with_suffix(".exit.json").unlink(missing_ok=True)
    return done


def _digest(pictures: Sequence[Picture]) -> str:
    lines = []
    for picture in pictures:
        for path in (picture.path, *picture.controls):
            status = path.stat()
            lines.append([str(path), status.st_mtime_ns, status.st_size, picture.caption])
    return hashlib.sha256(json.dumps(lines).encode()).hexdigest()


def interval(steps: int, every: int) -> int:
    """Steps between samplings or validations: the first divisor of `steps` that is no smaller than `every` (0: `steps`
    itself), as the trainers draw and measure at the end only where the last step divides."""
    if not 0 < every < steps:
        return steps
    return next(n for n in range(every, steps + 1) if steps % n == 0)


def with_path(name: str, folder: Path) -> str:
    """`folder` before what the environment variable holds already."""
    present = os.environ.get(name)
    return os.pathsep.join([str(folder), *([present] if present else [])])


def missing_packages(job: Job, home: Home, package_of: Callable[[str], str]) -> list[Problem]:
    """Optimisers that trials may be given and whose package the trainer's environment lacks.

    Args:
        package_of: the distribution that an `--optimizer_type` comes from, "" for one that is always there.
    """
    python = interpreter(home.python)
    there = distributions(python.paths) if python else {}
    choices = {f"{k.name} {c}": k.means.get(str(c), {}) for k in job.knobs for c in k.choices}
    found = []
    for choice, meant in {"this preset": job.fixed, **choices}.items():
        package = package_of(str(meant.get("--optimizer_type", "")))
        if package and package not in there:
            remedy = f"Run `{home.python} -m pip install {package}`, or take it out of the search."
            found.append(Problem("error", f"{choice} needs {package}, which is missing", remedy, home.python))
    return found


def scripts_of(job: Job) -> Scripts:
    assert job.preset.scripts is not None, "held by the presets' contract test"
    return job.preset.scripts


def config_of(job: Job, checkpoint: Path | None) -> dict[str, Any]:
    """The config a trial's checkpoint was trained with; without one, the preset's baseline as far as the session's
    knobs still have its choices."""
    if checkpoint is None:
        gone = {k.name: k.choices[0] for k in job.knobs if k.choices and job.preset.baseline[k.name] not in k.choices}
        return {**job.preset.baseline, **gone}
    return dict(read_json(checkpoint.parent.parent / "trial.json")["config"])


def with_checkpoint(job: Job, checkpoint: Path | None) -> tuple[Job, dict[str, object]]:
    """The job, and the flag, that put a finished checkpoint (None: nothing) where the trainer draws from it: a full
    fine-tune's in place of the model it was trained from, a LoRA beside it."""
    if checkpoint and job.preset.trains:
        return replace(job, weights={**job.weights, job.preset.trains: str(checkpoint)}), {}
    return job, {"--network_weights": str(checkpoint)} if checkpoint else {}


_OURS = ("--output_dir", "--output_name", "--sample_prompts", "--sample_every_n_steps", "--sample_at_first", "--seed",
         "--max_train_steps", "--logging_dir", "--log_with", "--dataset_config")  # fmt: skip
"""Flags that bracket sets itself, because it looks for what they name."""
_NOT_OURS = ("--config_file", "--max_train_epochs", "--network_weights", "--resume", "--sample_every_n_epochs",
             "--save_every_n_steps", "--save_every_n_epochs", "--save_n_epoch_ratio", "--save_model_as",
             "--train_data_dir", "--reg_data_dir", "--in_json", "--output_config", "--initial_step",
             "--initial_epoch", "--skip_until_initial_step")  # fmt: skip
"""Flags that would overrule those."""


def _flags_in(words: Iterable[str]) -> list[str]:
    return [word.partition("=")[0] for word in words if word.startswith("--")]


def _additions(job: Job, trainer: KohyaTrainer) -> list[Problem]:
    """What is wrong with what a person added; whether the trainer knows a flag is asked of its parser."""
    kinds = {f"{DATASET}{key}": kind for key, kind in trainer.dataset_keys.items()}
    found = taken(job, {*_OURS, *_NOT_OURS}, _flags_in(job.extra_args))
    found += unknown_settings(job, lambda key: key.startswith("--") or key in kinds, [*kinds, *_OURS], trainer.title)
    for key in given(job):
        if key in kinds and not fits(kinds[key], job.fixed[key]):
            what = f"{key} can't be {job.fixed[key]!r} in {trainer.title}"
            found.append(Problem("error", what, f"It takes this kind of value: {kinds[key]}."))
    found += unknown_samples(job, {"width", "height", *trainer.prompt_keys, *job.preset.prompt_keys}, trainer.title)
    if job.extra_args and not job.extra_args[0].startswith("-"):
        what = f"the extra arguments begin with {job.extra_args[0]!r}, which is no flag"
        found.append(Problem("error", what, "Write them as in --max_grad_norm 0.5."))
    return found + numbers(job.sample)
