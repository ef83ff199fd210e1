"""The built-in trainer's adapter: `python -m bracket.training`, a program of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from math import gcd
from pathlib import Path
from typing import Any

import yaml

from bracket.dataset.reading.prompts import sampling
from bracket.dataset.splitting import sources_of
from bracket.domain import Config, DatasetSplit, Launch, Picture, Problem, Prompt, Sample, Trace, Trial
from bracket.environment import child_env, project_root, python_executable
from bracket.errors import SettingsError, TrainerError
from bracket.files import read_json, write_json, write_text
from bracket.trainers.additions import numbers, taken
from bracket.trainers.base import TRIAL, Job, loads, nested, read_samples, settings_of, write_trial

_CHECKPOINTS_PER_TRIAL = 4
"""How often an interrupted trial could save itself: it loses at most a quarter of its steps."""

_SIDES = 16
"""Pixels a token of the model stands for, on each side."""
_OURS = frozenset({
    "output_dir", "seed", "device", "model.path", "data.train", "data.validation", "data.folder", "data.cache_dir",
    "train.steps", "train.schedule_steps", "checkpoint.every", "sample.every", "sample.prompts", "trials", "extends",
})  # fmt: skip


class BuiltinTrainer:
    """Our own flow-matching LoRA trainer for the Klein family."""

    name = "builtin"
    continues = True
    together = True

    def check(self, job: Job) -> list[Problem]:
        from importlib.util import find_spec

        found = []
        lacking = [m for m in ("torch", "diffusers", "peft", "transformers") if find_spec(m) is None]
        if lacking:
            remedy = "Run start_gui once to install them."
            found.append(Problem("error", f"the built-in trainer needs {', '.join(lacking)}", remedy))
        if clips := [p.path for p in job.dataset.train if not p.width]:
            remedy = "Choose a video model's preset, or a folder of pictures."
            found.append(
                Problem("error", f"the built-in trainer takes no clips; there are {len(clips)}", remedy, clips[0])
            )
        said = {k for held in (job.dataset.options, *(s.options for s in job.dataset.sources)) for k in held}
        if unused := sorted(said - {"dataset", "num_repeats"}):
            words = (
                f"the built-in trainer takes nothing from a dataset file but its folders: {', '.join(unused)} unused"
            )
            found.append(Problem("warning", words, "Set them in the preset or the session.", job.dataset.folder))
        ignored = [s.folder for s in job.dataset.sources if s.controls or s.regularisation]
        if ignored:
            words = "the built-in trainer leaves control and regularisation pictures out"
            found.append(Problem("warning", words, "Choose another trainer's preset to use them.", ignored[0]))
        return [*found, *_setting_problems(job)]

    def prepare(self, job: Job) -> list[Launch]:
        folder = job.folder / "cache"
        config = folder / "prepare.yaml"
        write_text(config, _yaml(self._settings(job, folder, seed=0, steps=1)))
        return [self._run("prepare", (str(config),), (), folder / "prepare.log")]

    def launch(self, job: Job, trials: Sequence[Trial]) -> Launch:
        for trial in trials:
            _take_over(trial)
            settings = self._settings(job, trial.folder, seed=trial.seed, steps=trial.steps, schedule=trial.schedule)
            write_text(trial.folder / "config.yaml", _yaml({**settings, **settings_of(job, trial.config)}))
            write_trial(trial)
        first, config = trials[0], trials[0].folder / "config.yaml"
        if len(trials) > 1:
            config = first.folder / "together.yaml"
            shared = self._settings(job, first.folder, seed=first.seed, steps=first.steps, schedule=first.schedule)
            write_text(config, _yaml({**shared, "trials": [_together(job, t) for t in trials]}))
        return self._run("train", self._arguments(job, config), tuple(trials), first.folder / "logs" / "trainer.log")

    def draw(self, job: Job, checkpoint: Path | None, prompts: Sequence[Prompt], out: Path) -> Launch:
        request = {
            "model": job.weights["model.path"],
            "checkpoint": str(checkpoint) if checkpoint else None,
            "prompts": [_prompt(job, p) for p in prompts],
            "out": str(out),
            "device": job.device,
            "dtype": job.fixed.get("dtype", "float32"),
            "text_length": job.fixed.get("model.text_length", 512),
            "text_layers": job.fixed.get("model.text_layers", [9, 18, 27]),
            **job.sample,
        }
        path = out.with_name(f"{out.name}.request.json")
        write_json(path, request)
        return self._run("sample", (str(path),), (), out.with_name(f"{out.name}.log"))

    def find_checkpoint(self, trial: Trial) -> Path | None:
        folder = trial.folder / "checkpoints" / "final"
        return folder if loads(folder / "pytorch_lora_weights.safetensors") else None

    def find_samples(self, trial: Trial) -> list[Sample]:
        return read_samples(trial.folder / "samples")

    def find_drawn(self, out: Path) -> list[Sample]:
        return read_samples(out)

    def _arguments(self, job: Job, config: Path) -> tuple[str, ...]:
        return (str(config), "--resume", *job.extra_args)

    def _settings(self, job: Job, folder: Path, *, seed: int, steps: int, schedule: int = 0) -> dict[str, Any]:
        """The trainer's config as dotted keys, without the knobs."""
        return {
            "output_dir": str(folder),
            "seed": seed,
            "device": job.device,
            "model.path": job.weights["model.path"],
            "data.cache_dir": str(job.folder / "cache"),
            "data.train": _pictures(_repeated(job.dataset)),
            "data.validation": _pictures(job.dataset.validation),
            "train.steps": steps,
            "train.schedule_steps": schedule,
            "checkpoint.every": max(1, -(-steps // _CHECKPOINTS_PER_TRIAL)),
            "validation.every": job.validate_every or max(1, steps // 4),
            "sample.every": job.sample_every,
            "sample.prompts": [_prompt(job, p) for p in job.prompts],
            **{f"sample.{k}": v for k, v in job.sample.items()},
            **job.fixed,
        }

    def _run(self, program: str, arguments: tuple[str, ...], trials: tuple[Trial, ...], log: Path) -> Launch:
        module = "bracket.training" if program == "train" else f"bracket.training.{program}"
        # Two torch threads on a busy small machine are many times slower than one: see environment.child_env.
        return Launch(
            trials=trials,
            argv=(python_executable(), "-m", module, *arguments),
            cwd=project_root(),
            log=log,
            env=_changed(child_env(threads=1)),
            traces=tuple(Trace(t.folder / "tfevents") for t in trials),
            warm_task=(program, *arguments),
            expected_steps=max((t.steps for t in trials), default=0),
        )


def _setting_problems(job: Job) -> list[Problem]:
    """What the trainer's own schema says of the baseline, and of the ends of all ranges, with what was added."""
    from bracket.training.config.reading import validate
    from bracket.training.config.schema import TrainingConfig

    try:
        extra = dict(_set(job.extra_args))
        if found := [*taken(job, _OURS, extra), *numbers(job.sample, _SIDES)]:
            return found
        sample = {f"sample.{k}": v for k, v in job.sample.items()}
        for config in _ends(job):
            needed = {"output_dir": "-", "model.path": "-", "data.folder": "-"}
            validate(TrainingConfig, nested({**needed, **sample, **settings_of(job, config), **extra}), {})
    except SettingsError as error:
        return [Problem("error", error.message, error.remedy or "Mend it in the settings.")]
    return []


def _ends(job: Job) -> Iterator[Config]:
    """The baseline, and two configs between which all others lie."""
    yield job.preset.baseline
    yield {k.name: k.choices[0] if k.low is None else k.low for k in job.knobs}
    yield {k.name: k.choices[-1] if k.high is None else k.high for k in job.knobs}


def _set(words: Sequence[str]) -> Iterator[tuple[str, object]]:
    """The settings in `--set key=value --set=key=value …`.

    Raises:
        SettingsError: the words say something else.
    """
    rest = iter(words)
    for word in rest:
        pair = next(rest, "") if word == "--set" else word.removeprefix("--set=")
        key, equals, value = pair.partition("=")
        if not equals or not word.startswith("--set"):
            what = f"{pair or word!r} can't be added: the built-in trainer takes --set key=value"
            raise SettingsError(what, remedy="As in --set train.max_grad_norm=0.5.")
        try:
            yield key, yaml.safe_load(value)
        except (yaml.YAMLError, ValueError) as error:
            raise SettingsError(f"the value of {key} can't be read: {value!r}", remedy="Mend it.") from error


def _take_over(trial: Trial) -> None:
    """Put the state of the trial it continues where a resume finds it, with its curves; once only."""
    target = trial.folder / "checkpoints"
    if trial.continues is None or target.exists():
        return
    final = trial.continues / "checkpoints" / "final"
    if not loads(final / "pytorch_lora_weights.safetensors"):
        remedy = "Begin it anew, without the trial before it."
        raise TrainerError("the trial it goes on from left no checkpoint", path=final, remedy=remedy, trial=trial.id)
    done = int(read_json(trial.continues / TRIAL)["steps"])
    beside = target.with_name(".checkpoints.part")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(trial.continues / "tfevents", trial.folder / "tfevents", dirs_exist_ok=True)
    shutil.copytree(final, beside / f"step-{done:06d}")
    os.replace(beside, target)


def _prompt(job: Job, prompt: Prompt) -> dict[str, Any]:
    return vars(prompt) | sampling(BuiltinTrainer.name, job.dataset.drawn.get(prompt.text, {}))


def _repeated(dataset: DatasetSplit) -> list[Picture]:
    """The training pictures as often as their sources' repeats stand to each other; steps count here, not epochs."""
    repeats = [s.repeats for s in sources_of(dataset)]
    shared = gcd(*(repeats[p.source] for p in dataset.train)) or 1
    return [p for p in dataset.train for _ in range(repeats[p.source] // shared)]


def _pictures(pictures: Sequence[Picture]) -> list[dict[str, str]]:
    return [{"path": str(p.path), "caption": p.caption} for p in pictures]


def _together(job: Job, trial: Trial) -> dict[str, Any]:
    """One trial of several in a launch: what differs from the rest."""
    return {
        "output_dir": str(trial.folder),
        "seed": trial.seed,
        "set": {**settings_of(job, trial.config), "train.steps": trial.steps},
    }


def _changed(env: dict[str, str]) -> dict[str, str]:
    """What differs from our own environment: only that belongs into a launch and its `command.sh`."""
    return {k: v for k, v in env.items() if os.environ.get(k) != v}


def _yaml(flat: dict[str, Any]) -> str:
    return str(yaml.safe_dump(nested(flat), sort_keys=False, allow_unicode=True))
