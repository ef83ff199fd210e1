"""The smallest adapter that passes the conformance suite: docs/how-to/add-a-trainer.md goes through it.

Its trainer, `minimal_program.py`, takes one JSON file, begins every run anew, and leaves a checkpoint, tfevents and a
picture for each prompt in one folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bracket.domain import Config, Launch, Problem, Prompt, Sample, Trace, Trial
from bracket.environment import python_executable, trainer_variable
from bracket.errors import StorageError
from bracket.files import read_json, write_json
from bracket.runner.reading.traces import write_trace
from bracket.trainers.base import TRIAL, Job, loads, settings_of, write_trial
from bracket.trainers.whole import is_whole

OUTPUT, REQUEST = "output", "request.json"


class MinimalTrainer:
    """One trial a launch, no caches, nothing to go on from."""

    name = "minimal"
    continues = False
    together = False

    def check(self, job: Job) -> list[Problem]:
        if not _program().is_file():
            remedy = "Set BRACKET_MINIMAL to its program."
            return [Problem("error", "the minimal trainer is not installed", remedy, _program())]
        unknown = sorted(set(job.extra_args) - {"--fast"})
        return [Problem("error", f"the minimal trainer has no flag {flag}", "Leave it out.") for flag in unknown]

    def prepare(self, job: Job) -> list[Launch]:
        return []

    def launch(self, job: Job, trials: Sequence[Trial]) -> Launch:
        (trial,) = trials
        trace = Trace(trial.folder / OUTPUT / "loss", {"train_loss": "loss/train"})
        write_trial(trial)
        write_trace(trial.folder, trace)
        argv = _command(job, trial.folder, trial.config, job.prompts, seed=trial.seed, steps=trial.steps)
        log = trial.folder / "logs" / "trainer.log"
        return Launch(
            (trial,), (*argv, *job.extra_args), trial.folder, log, traces=(trace,), expected_steps=trial.steps
        )

    def draw(self, job: Job, checkpoint: Path | None, prompts: Sequence[Prompt], out: Path) -> Launch:
        config: Config = job.preset.baseline
        if checkpoint:
            config = read_json(checkpoint.parent.parent / TRIAL)["config"]
        argv = _command(job, out, config, prompts, weights=str(checkpoint or ""))
        return Launch((), argv, out, out.with_name(f"{out.name}.log"))

    def find_checkpoint(self, trial: Trial) -> Path | None:
        path = trial.folder / OUTPUT / "lora.safetensors"
        return path if loads(path) else None

    def find_samples(self, trial: Trial) -> list[Sample]:
        return self.find_drawn(trial.folder)

    def find_drawn(self, out: Path) -> list[Sample]:
        try:
            prompts = [Prompt(**p) for p in read_json(out / REQUEST)["prompts"]]
        except StorageError:
            return []  # never begun
        found = []
        for path in (out / OUTPUT).glob("*.png"):
            step, number = map(int, path.stem.split("-"))
            if is_whole(path):
                found.append((step, number, Sample(path, prompts[number].text, prompts[number].seed, step)))
        return [sample for *_, sample in sorted(found, key=lambda f: f[:2])]


def _program() -> Path:
    return Path(trainer_variable("minimal"))


def _command(
    job: Job,
    folder: Path,
    config: Config,
    prompts: Sequence[Prompt],
    *,
    seed: int = 0,
    steps: int = 0,
    weights: str = "",
) -> tuple[str, ...]:
    """Writes what the program is asked for and empties the folder it writes into; returns its command."""
    shutil.rmtree(folder / OUTPUT, ignore_errors=True)
    request = {
        **settings_of(job, config),
        "output": str(folder / OUTPUT),
        "pictures": [str(picture.path) for picture in job.dataset.train],
        "prompts": [asdict(prompt) for prompt in prompts],
        "sample_every": job.sample_every,
        "seed": seed,
        "steps": steps,
        "weights": weights,
    }
    write_json(folder / REQUEST, request)
    return (python_executable(), str(_program()), str(folder / REQUEST))
