"""A session whose trainer and judge cost nothing, here (`play`) or in a process that can be killed (`begin`)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from bracket.domain import Judgement, Launch, Preference, Problem, Prompt, Sample, Trial
from bracket.files import write_json
from bracket.session import job
from bracket.session.asked.settings import (
    ConfirmationSettings,
    DatasetSettings,
    FinalsSettings,
    SearchSettings,
    SessionSettings,
    from_preset,
)
from bracket.session.planning import plan
from bracket.session.running import run
from bracket.trainers import Job
from bracket.trainers.base import write_trial
from bracket.trainers.builtin import BuiltinTrainer

PROGRAM = Path(__file__).with_name("scripted_program.py")


class ScriptedTrainer(BuiltinTrainer):
    """The built-in trainer's folders, another program."""

    name = "scripted"
    pace = 0.005
    fail = False

    def prepare(self, job: Job) -> list[Launch]:
        return []

    def launch(self, job: Job, trials: Sequence[Trial]) -> Launch:
        (trial,) = trials
        write_trial(trial)
        if trial.continues and not (trial.folder / "state.json").exists():
            trial.folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(trial.continues / "state.json", trial.folder)
        config = trial.folder / "config.json"
        write_json(
            config,
            {
                "folder": str(trial.folder),
                "lr": trial.config["learning_rate"],
                "steps": trial.steps,
                "seed": trial.seed,
                "prompts": [vars(p) for p in job.prompts],
                "pace": self.pace,
                "fail": self.fail,
                "memory": job.fixed.get("memory", 0),
            },
        )
        log = trial.folder / "logs" / "trainer.log"
        return replace(self._run("train", (), (trial,), log), argv=self._argv("train", config), warm_task=None)

    def draw(self, job: Job, checkpoint: Path | None, prompts: Sequence[Prompt], out: Path) -> Launch:
        request = out.with_name(f"{out.name}.request.json")
        found = str(checkpoint) if checkpoint else None
        write_json(request, {"checkpoint": found, "prompts": [vars(p) for p in prompts], "out": str(out)})
        log = out.with_name(f"{out.name}.log")
        return replace(self._run("sample", (), (), log), argv=self._argv("draw", request), warm_task=None)

    def check(self, job: Job) -> list[Problem]:
        return []

    def _argv(self, verb: str, path: Path) -> tuple[str, ...]:
        return (sys.executable, str(PROGRAM), verb, str(path))


class ScriptedJudge:
    """Takes a picture's first channel for its quality."""

    name = "scripted"
    fingerprint = "1"
    exclusive = False

    def park(self) -> None:
        pass

    def remarks(self) -> list[str]:
        return []

    def score(self, samples: Sequence[Sample]) -> list[Judgement]:
        return [Judgement(s, self.name, v := self._look(s), {"brightness": v}) for s in samples]

    def compare(self, pairs: Sequence[tuple[Sample, Sample]]) -> list[Preference]:
        return [Preference(a, b, self.name, float(self._look(a) > self._look(b))) for a, b in pairs]

    def close(self) -> None:
        pass

    def _look(self, sample: Sample) -> float:
        with Image.open(sample.path) as image:
            return float(image.getpixel((0, 0))[0]) / 255


def settings_for(
    dataset: Path, *, configs: int = 6, pairs: int = 2, seeds: int = 2, workers: int = 2
) -> SessionSettings:
    """A small session over the demo's drawn dataset."""
    from bracket.presets import find_preset

    return from_preset(
        find_preset("embedded-demo"),
        DatasetSettings(folder=str(dataset), trigger_word="zorp", class_word="star"),
        search=SearchSettings(configs=configs, steps=6, rungs=3, reduction=2),
        finals=FinalsSettings(finalists=2, steps=8, seeds=seeds),
        confirmation=ConfirmationSettings(pairs=pairs, sample_seeds=1),
        baseline={"learning_rate": 1e-4},  # the demo's own is the best that the scripted program knows
        workers=workers,
    )


def play(
    folder: Path, trainer: ScriptedTrainer | None = None, judge: ScriptedJudge | None = None
) -> run.Summary | None:
    """Run the session in `folder` with the scripted trainer and judge."""
    put_in(trainer, judge)
    return run.run(folder)


def put_in(trainer: ScriptedTrainer | None = None, judge: ScriptedJudge | None = None) -> None:
    """From now on every session of this process has the scripted trainer and judge."""
    job.make_trainer = lambda name: trainer or ScriptedTrainer()
    run.session_judge = lambda *_: judge or ScriptedJudge()
    plan.judge_problems = lambda *_: []


def begin(folder: Path) -> subprocess.Popen[bytes]:
    """`play` in a process of its own."""
    command = [sys.executable, "-m", "tests.session.scripted", str(folder)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2], start_new_session=True)


if __name__ == "__main__":
    play(Path(sys.argv[1]))
