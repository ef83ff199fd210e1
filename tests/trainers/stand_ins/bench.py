"""Every trainer set up to be tried, on the same pictures and in folders with difficult names."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bracket.dataset import scan, split
from bracket.demo.dataset import write_demo_dataset
from bracket.domain import Config, DatasetSplit, Launch, Outcome, Prompt, Round, Trial, Value
from bracket.presets import find_preset, load_preset
from bracket.runner.devices import devices
from bracket.runner.executor import Handle, LocalExecutor
from bracket.runner.reading.tail import last_lines
from bracket.search.space import effective
from bracket.session.asked.settings import DatasetSettings, SessionSettings
from bracket.session.evaluate import ended
from bracket.session.job import Context
from bracket.trainers import Job, Trainer, make_trainer
from tests.trainers.stand_ins.checkouts import make_checkout
from tests.trainers.stand_ins.little_model import PACE
from tests.trainers.stand_ins.minimal_trainer import MinimalTrainer

HERE = Path(__file__).parent
PRESETS = {
    "builtin": "embedded-demo",
    "sd_scripts": "sd-scripts-sdxl-lora",
    "musubi": "musubi-z-image-lora",
    "ai_toolkit": "ai-toolkit-z-image-lora",
    "minimal": "",
}
"""Trainer to the preset it is tried with."""
FOREIGN = ("sd_scripts", "musubi", "ai_toolkit")
PROMPTS = (
    Prompt('a big red zorp "on" a ${zorp} [name] background', 7),
    Prompt("ein grüner Kreis, l'été # 円", 8, negative="blurry"),
)
NO_CHANGE: Config = {}
_BAD_FLAG = ("--no_such_flag", "1"), "unrecognized arguments: --no_such_flag 1"
_AI_TOOLKIT = ("training_folder", "training_seed", "save.save_every", "sample.samples")
_COMMENT = ("--training_comment", 'it\'s $(touch gone); "so" `touch gone` --no_such_flag')


@dataclass(frozen=True)
class Bench:
    """A trainer with a job and everything to run it.

    Attributes:
        measures: whether its trials have a validation loss.
        caches: whether it prepares anything.
        from_zero: whether its log counts steps from 0, and leaves out the first of every start.
        repeats: how many steps it does twice where it goes on after a stop; 0 also where it begins anew.
        saves_at: a step after which it could go on from what it saved.
        decided: settings that bracket makes itself, where `check` knows them.
        addition: an expert's addition that changes nothing but is hard to quote.
        bad_argument: an expert's addition that it can't take, and what it says to that as it fails.
    """

    trainer: Trainer
    job: Job
    executor: LocalExecutor
    bad_argument: tuple[tuple[str, ...], str]
    measures: bool = False
    caches: bool = True
    from_zero: bool = False
    repeats: int = 0
    saves_at: int = 2
    decided: tuple[str, ...] = ("--output_dir", "--seed", "--output_name", "--save_every_n_steps")
    addition: tuple[str, ...] = ()

    def logged(self, done: int, steps: int) -> list[int]:
        """The steps that the log of a start has, where some were done before it."""
        return list(range(done + 1, steps if self.from_zero else steps + 1))

    @property
    def fading(self) -> Config:
        """A learning rate that ends at nothing, where a knob can say so: it shows how long a schedule is."""
        return {"scheduler": "cosine"} if any(k.name == "scheduler" for k in self.job.knobs) else {}

    @property
    def another_rank(self) -> Value:
        """One that isn't the baseline's."""
        (knob,) = (k for k in self.job.knobs if k.name == "rank")
        return next(c for c in knob.choices if c != self.job.preset.baseline["rank"])

    def trial(
        self, name: str, config: Config = NO_CHANGE, *, steps: int = 6, seed: int = 1, job: Job | None = None
    ) -> Trial:
        """A trial with the baseline's config and these changes."""
        job = job or self.job
        chosen = effective({**job.preset.baseline, **config}, job.knobs)
        return Trial(name, Round.SEARCH, "test", {**chosen, **config}, seed, steps, job.folder / "trials" / name)

    def start(self, launch: Launch, *, pace: float = 0.0) -> Handle:
        """Submits a launch that takes so many seconds a step (stand-ins only)."""
        if pace:
            launch = replace(launch, env={**launch.env, PACE: str(pace)})
        launch.log.unlink(missing_ok=True)  # a session puts the log of an earlier start aside
        return self.executor.submit(launch, devices()[0])

    def run(self, launch: Launch) -> int | None:
        return finish(self.start(launch))

    def train(self, trial: Trial, job: Job | None = None) -> Trial:
        """Trains a trial and holds that it went well."""
        self.run(self.trainer.launch(job or self.job, [trial]))
        assert self.outcome(trial) == (Outcome.OK, ""), last_lines(trial.folder / "logs" / "trainer.log", 20)
        return trial

    def outcome(self, trial: Trial, *, stopped: bool = False) -> tuple[Outcome, str]:
        """How a session would class a trial that ended."""
        context = Context(
            folder=self.job.folder,
            settings=SessionSettings(
                preset=self.job.preset.name, dataset=DatasetSettings(folder=str(self.job.dataset.folder))
            ),
            preset=self.job.preset,
            knobs=self.job.knobs,
            dataset=self.job.dataset,
            trainer=self.trainer,
            judges=(),
            slots=tuple(devices()[:1]),
        )
        result = ended(context, trial, seconds=1.0, stopped=stopped).result
        return result.outcome, result.cause

    def weights(self, trial: Trial) -> bytes:
        """The numbers of a trial's checkpoint."""
        from safetensors.numpy import load_file

        return b"".join(array.tobytes() for _, array in sorted(load_file(self.weights_file(trial)).items()))

    def weights_file(self, trial: Trial) -> Path:
        """The file of a trial's checkpoint."""
        found = self.trainer.find_checkpoint(trial)
        assert found
        return found if found.is_file() else next(found.glob("*.safetensors"))


def finish(handle: Handle, seconds: float = 120.0) -> int | None:
    until = time.monotonic() + seconds
    while (exit := handle.poll()) is None:
        assert time.monotonic() < until, last_lines(handle.launch.log, 20)
        time.sleep(0.01)
    return exit.code


def make_dataset(folder: Path) -> DatasetSplit:
    """Six pictures to train on and two to validate with, their names and captions with odd signs in them."""
    whole = write_demo_dataset(folder.with_name("whole"))
    folder.mkdir()
    for number, picture in enumerate(sorted(whole.glob("*.png"))[:8]):
        name = f"Bild {number} “l'été”"
        shutil.copy(picture, folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f'zorp "{number}" ${{HOME}} [name], 円\n', encoding="utf-8")
    made = split(scan(folder), trigger_word="zorp", class_word="star", prompts=1, verdict=1)
    held = {"train": made.train[:6], "validation": made.train[6:]}  # so few give none by themselves
    return replace(made, prompts=tuple(p.text for p in PROMPTS), **held)


def make_bench(name: str, folder: Path, executor: LocalExecutor, setenv: Callable[[str, str], None]) -> Bench:
    """The bench of one trainer, with everything of it under `folder`."""
    folder = folder / "it's a “Größe” 訓練"
    folder.mkdir()
    environment = {"BRACKET_CONFIG": str(folder / "config"), "BRACKET_MINIMAL": str(HERE / "minimal_program.py")}
    if name in FOREIGN:
        environment |= make_checkout(name, folder / "the trainer")
    for variable, value in environment.items():
        setenv(variable, value)
    preset = find_preset(PRESETS[name]) if PRESETS[name] else load_preset(HERE / "minimal.yaml")
    weights = preset.resolve_weights({})
    if name in FOREIGN:
        weights = {spec.key: str(folder / f"{spec.key} weights.safetensors") for spec in preset.weights}
        for path in weights.values():
            Path(path).write_bytes(b"never read")
    job = Job(
        folder=folder / "a session",
        preset=preset,
        dataset=make_dataset(folder / "pictures"),
        weights=weights,
        fixed=preset.fixed,
        knobs=preset.knob_list(),
        sample=preset.sample,
        prompts=PROMPTS,
        device="cpu",
    )
    trainer = MinimalTrainer() if name == "minimal" else make_trainer(name)
    return _KINDS[name](trainer, job, executor)


def _builtin(trainer: Trainer, job: Job, executor: LocalExecutor) -> Bench:
    bad = ("--set", "no.such=1"), "Unknown key no"
    return Bench(trainer, job, executor, bad, measures=True, decided=("output_dir", "seed", "sample.every"))


def _sd_scripts(trainer: Trainer, job: Job, executor: LocalExecutor) -> Bench:
    # With these two searched it has no validation loss that means the same in all trials.
    knobs = tuple(k for k in job.knobs if k.name not in ("min_snr_gamma", "noise_offset"))
    return Bench(trainer, replace(job, knobs=knobs), executor, _BAD_FLAG, measures=True, addition=_COMMENT)


def _musubi(trainer: Trainer, job: Job, executor: LocalExecutor) -> Bench:
    return Bench(trainer, job, executor, _BAD_FLAG, addition=_COMMENT)


def _ai_toolkit(trainer: Trainer, job: Job, executor: LocalExecutor) -> Bench:
    bad = ("train.optimizer=nonsense",), "Unknown optimizer type nonsense"
    return Bench(
        trainer, job, executor, bad, measures=True, from_zero=True, repeats=1, saves_at=11, decided=_AI_TOOLKIT
    )


def _minimal(trainer: Trainer, job: Job, executor: LocalExecutor) -> Bench:
    bad = ("--no_such_flag",), "there is no flag --no_such_flag"
    return Bench(trainer, job, executor, bad, caches=False, decided=())


_KINDS = {
    "builtin": _builtin, "sd_scripts": _sd_scripts, "musubi": _musubi, "ai_toolkit": _ai_toolkit, "minimal": _minimal,
}  # fmt: skip
