"""What sd-scripts and musubi-tuner share: command lines, prompt files, where things appear, how pictures are drawn.

Their train scripts draw samples themselves, with the trained weights in memory and the seed of every prompt fixed. More
pictures of a finished checkpoint come out of the same sampler: the train script is started with the checkpoint as its
`--network_weights` (a full checkpoint in place of the model) and `--sample_at_first`, for one step that is thrown away.
The trainers' separate generation scripts use other schedulers and defaults; pictures of the two could not be compared.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from bracket.domain import Config, Launch, Picture, Problem, Prompt, Sample, Trace, Trial
from bracket.errors import StorageError, TrainerError
from bracket.files import read_json, write_json, write_text
from bracket.homes import Home, find_home, home_problems, missing_flags
from bracket.presets import Script, Scripts
from bracket.runner.traces import write_trace
from bracket.trainers.artefacts import kohya_samples
from bracket.trainers.base import Job, loads, settings_of

DATASET = "dataset."
CHECKPOINTS, EVENTS, PROMPTS, DATASET_FILE = "checkpoints", "tfevents", "prompts.json", "dataset.toml"


class KohyaTrainer(ABC):
    """One of kohya's trainers. It trains one trial a launch, and begins an interrupted one anew: neither trainer goes on
    from a state with the same steps, schedule and data order (facts: `--resume` restarts both counts)."""

    name: str
    continues = False
    together = False
    title: str
    tags: Mapping[str, str]
    dialect: str
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
        return {"COLUMNS": "1000", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}

    def train_flags(self, job: Job) -> dict[str, object]:
        """Flags that only this trainer has and every trial gets."""
        return {}

    def check(self, job: Job) -> list[Problem]:
        try:
            home = find_home(self.name)
        except TrainerError as error:
            return [Problem("error", error.message, error.remedy)]
        problems = home_problems(home)
        if any(p.level == "error" for p in problems):
            return problems
        for script in (*_scripts(job).cache, _scripts(job).train):
            argv = flags({**script.settings, **dict.fromkeys(script.weights, "x")})
            if script is _scripts(job).train:
                argv += flags({k: v for k, v in settings_of(job, job.preset.baseline).items()})
            gone = missing_flags(home, script.script, argv)
            if gone:
                problems.append(_other_version(self.title, script.script, gone, home))
        return problems

    def launch(self, job: Job, trials: Sequence[Trial]) -> Launch:
        (trial,) = trials
        for name in (CHECKPOINTS, EVENTS):
            shutil.rmtree(trial.folder / name, ignore_errors=True)
        trace = Trace(trial.folder / EVENTS, self.tags)
        write_trace(trial.folder, trace)
        write_json(trial.folder / "trial.json", _plain(trial))
        every = sample_interval(trial.steps, job.sample_every)
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
                "--sample_every_n_steps": every,
                **self.train_flags(job),
            },
        )
        log = trial.folder / "logs" / "trainer.log"
        return self.run(argv, log, trials=(trial,), traces=(trace,), expected_steps=trial.steps)

    def draw(self, job: Job, checkpoint: Path | None, prompts: Sequence[Prompt], out: Path) -> Launch:
        config = _config_of(checkpoint) if checkpoint else dict(job.preset.baseline)
        network: dict[str, object] = {}
        if checkpoint and job.preset.trains:
            job = _with_weight(job, checkpoint)
        elif checkpoint:
            network = {"--network_weights": str(checkpoint)}
        argv = self._train_argv(
            job,
            out,
            config,
            prompts,
            {"--seed": 0, "--max_train_steps": 1, "--output_name": out.name, "--sample_at_first": True, **network},
        )
        return self.run(argv, out.with_name(f"{out.name}.log"))

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
        script = _scripts(job).train
        settings = {**script.settings, **settings_of(job, config)}
        write_text(folder / DATASET_FILE, self.dataset_toml(job, settings))
        write_json(folder / PROMPTS, [self._prompt(job, p) for p in prompts])
        return [
            str(self.program(find_home(self.name), script.script)),
            *flags(weight_flags(job, script)),
            *flags({"--dataset_config": str(folder / DATASET_FILE)}),
            *flags(settings),
            *flags({"--output_dir": str(folder / CHECKPOINTS), "--sample_prompts": str(folder / PROMPTS), **more}),
            *job.extra_args,
        ]

    def _prompt(self, job: Job, prompt: Prompt) -> dict[str, Any]:
        """A prompt as the trainers' JSON prompt files have it; nothing in its text can become an option there."""
        keys = {**self.prompt_keys, **job.preset.prompt_keys}
        settings = {**job.sample, **({"negative": prompt.negative} if prompt.negative else {})}
        named = {keys.get(k, k): v for k, v in settings.items()}
        return {"prompt": prompt.text, "seed": prompt.seed, **named}


def flags(settings: Mapping[str, object]) -> list[str]:
    """Settings as words of a command line, in their order; those that are no flags (`dataset.key`) are left out.

    True is a flag alone; False and None leave it out; a list gives several words; `--flag:key` settings are gathered
    behind the words of `--flag` as `key=value`.
    """
    several: dict[str, dict[str, str]] = {}
    for name, value in settings.items():
        flag, _, key = name.partition(":")
        if not flag.startswith("--") or value is None or value is False:
            continue
        words = several.setdefault(flag, {})
        if key:
            words[key] = f"{key}={_word(value)}"
        elif isinstance(value, list | tuple):
            words.update({str(v).partition("=")[0]: _word(v) for v in value})
        elif value is not True:
            words[""] = _word(value)
    argv: list[str] = []
    for flag, found in several.items():
        words_ = list(found.values())
        # A value that looks like an option would be taken for one.
        argv += [f"{flag}={words_[0]}"] if len(words_) == 1 and words_[0].startswith("-") else [flag, *words_]
    return argv


def _word(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def weight_flags(job: Job, script: Script) -> dict[str, object]:
    """The flags that name a script's weights; an optional one that isn't used is left out."""
    return {flag: job.weights[key] for flag, key in script.weights.items() if job.weights.get(key)}


def dataset_options(job: Job, settings: Mapping[str, object]) -> dict[str, object]:
    """The dataset's own settings (what its file said), under those of the preset and the config."""
    chosen = {k.removeprefix(DATASET): v for k, v in settings.items() if k.startswith(DATASET)}
    return {**chosen, **{k: v for k, v in job.dataset.options.items() if k not in _searched(job)}}


def _searched(job: Job) -> set[str]:
    """Dataset settings that knobs set: the search decides those, not the dataset's file."""
    return {t.removeprefix(DATASET) for k in job.knobs for t in k.targets if t.startswith(DATASET)}


def dataset_variants(job: Job, keys: Sequence[str]) -> list[dict[str, object]]:
    """All settings that trials can have as far as the dataset settings `keys` go, which change what is cached."""
    knobs = [k for k in job.knobs if any(t.removeprefix(DATASET) in keys for t in k.targets)]
    return [
        settings_of(job, {**job.preset.baseline, **dict(zip((k.name for k in knobs), values, strict=True))})
        for values in product(*(k.choices for k in knobs))
    ]


def is_prepared(launch: Launch, pictures: Sequence[Picture]) -> bool:
    """Whether a cache launch already ran to its end for these very pictures; notes what it is asked for.

    A picture counts as another one when its file, its caption or a control picture changed.
    """
    request = launch.log.with_suffix(".request.json")
    asked = {"argv": list(launch.argv), "pictures": _digest(pictures)}
    try:
        done = read_json(request) == asked and read_json(launch.log.with_suffix(".exit.json"))["code"] == 0
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


def sample_interval(steps: int, every: int) -> int:
    """Steps between samplings: the first divisor of `steps` that is no smaller than `every` (0: `steps` itself), as
    the trainers draw at the end only where the last step divides."""
    if not 0 < every < steps:
        return steps
    return next(n for n in range(every, steps + 1) if steps % n == 0)


def with_path(name: str, folder: Path) -> str:
    """`folder` before what the environment variable holds already."""
    present = os.environ.get(name)
    return os.pathsep.join([str(folder), *([present] if present else [])])


def _scripts(job: Job) -> Scripts:
    assert job.preset.scripts is not None, "held by the presets' contract test"
    return job.preset.scripts


def _config_of(checkpoint: Path) -> dict[str, Any]:
    """The config a trial's checkpoint was trained with."""
    return dict(read_json(checkpoint.parent.parent / "trial.json")["config"])


def _with_weight(job: Job, checkpoint: Path) -> Job:
    return replace(job, weights={**job.weights, job.preset.trains: str(checkpoint)})


def _other_version(title: str, script: str, gone: Sequence[str], home: Home) -> Problem:
    what = f"has no {script}" if gone == [script] else f"doesn't know {', '.join(gone)} in {script}"
    remedy = f"Update it: python -m bracket trainers update {title}."
    return Problem("error", f"this {title} {what}: it is of another version", remedy, home.folder)


def _plain(trial: Trial) -> dict[str, Any]:
    left_out = ("folder", "continues")
    return {k: v for k, v in vars(trial).items() if k not in left_out} | {"config": dict(trial.config)}
