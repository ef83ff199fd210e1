"""Whole sessions in which all settings are equal: how often do they end in a claim?

    python -m tests.benchmarks.bench_null [--sessions 1500] [--pairs 6]

Each is a session as `bracket run` plays it: dataset, checks, ledger, strategy, folders, event files, pictures, judge
queue, score, finals, the duel's plan, the duel watched after every picture and every pair and ended as soon as it is
decided or hopeless, verdict. Only the trainer has no model: its "training" draws a score from a distribution that
does not depend on the settings, in this process, and writes it into pictures that the judge reads back.

Two worlds, for the two kinds of claim. In the first every training differs by chance, as trainings with other seeds
do: a claim about the settings is false. In the second every training gives the same file but for the noise of each
picture: a claim about the file is false, too.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image
from safetensors.numpy import save_file
from scipy.stats import binomtest

from bracket.demo.dataset import write_demo_dataset
from bracket.domain import Launch, Prompt, Sample, Trial
from bracket.files import append_json, read_json, write_json
from bracket.presets import DEMO_PRESET, find_preset
from bracket.runner.devices import Device, workers
from bracket.runner.processes.launched import Exit, exit_files, write_exits
from bracket.runner.reading.watch import Progress
from bracket.session.asked.settings import (
    ConfirmationSettings,
    DatasetSettings,
    SearchSettings,
    SessionSettings,
    from_preset,
)
from bracket.session.running import drawing, judging, launch, rounds, run
from bracket.session.running.launch import DEMO_CLASS, DEMO_TRIGGER
from bracket.stats import decide
from bracket.trainers import Job
from bracket.trainers.base import write_trial
from bracket.training.process.events import EventLog
from tests.session import scripted

RUN_SD, RUN_ON_PROMPT_SD, PROMPT_SD, PICTURE_SD = 0.03, 0.05, 0.15, 0.08
"""As in `bench_verdict`: of a training, of a training on a prompt, of a prompt, of a picture."""
STORE = Path("/dev/shm")
"""Where there is such a folder, sessions are played in memory: nothing here needs to survive."""


@dataclass(frozen=True)
class World:
    """What trainings differ by: nothing about a config."""

    name: str
    run_sd: float
    run_on_prompt_sd: float

    def score(self, training: str, prompt: Prompt) -> float:
        """What the judge will see in a picture; the same training, prompt and seed give the same picture."""
        level = 0.5 + self.run_sd * _normal("run", training)
        level += PROMPT_SD * _normal("prompt", prompt.text) / 2
        level += self.run_on_prompt_sd * _normal("on", training, prompt.text)
        return float(np.clip(level + PICTURE_SD * _normal("picture", training, prompt.text, prompt.seed), 0, 1))


WORLDS = (World("equal settings", RUN_SD, RUN_ON_PROMPT_SD), World("equal files", 0.0, 0.0))


def _normal(*what: object) -> float:
    """A standard normal number that follows from its name."""
    digest = hashlib.blake2b(repr(what).encode(), digest_size=8).digest()
    return float(np.random.default_rng(int.from_bytes(digest)).standard_normal())


class NullTrainer(scripted.ScriptedTrainer):
    """The built-in trainer's folders; `InlineExecutor` does what its program would."""

    def launch(self, job: Job, trials: Sequence[Trial]) -> Launch:
        (trial,) = trials
        write_trial(trial)
        write_json(trial.folder / "config.json", {"prompts": [vars(p) for p in job.prompts]})
        return self._run("train", (), (trial,), trial.folder / "logs" / "trainer.log")

    def draw(self, job: Job, checkpoint: Path | None, prompts: Sequence[Prompt], out: Path) -> Launch:
        name = checkpoint.parents[1].name if checkpoint else "base"
        request = out.with_name(f"{out.name}.request.json")
        write_json(request, {"training": name, "prompts": [vars(p) for p in prompts], "out": str(out)})
        return self._run("sample", (str(request),), (), out.with_name(f"{out.name}.log"))


class Handle:
    """A launch that has ended before it was asked for."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch

    def poll(self) -> Exit:
        return Exit(0, None, time.time())

    def stop(self, grace: float = 20.0) -> None:
        pass

    def progress(self) -> Progress:
        return Progress(0, 0, None, 0.0, None, "training")

    def silent_seconds(self) -> float:
        return 0.0


class InlineExecutor:
    """Does at once, in this process, what a launch of `NullTrainer` asks for."""

    workers = 1

    def __init__(self, world: World, session: int) -> None:
        self.world, self.session = world, session

    def submit(self, launch: Launch, device: Device) -> Handle:
        if launch.trials:
            self._train(launch, launch.trials[0])
        else:
            request = read_json(Path(launch.argv[-1]))
            self._draw(Path(request["out"]), request["training"], [Prompt(**p) for p in request["prompts"]], 0)
        return Handle(launch)

    def close(self, grace: float = 5.0) -> None:
        pass

    def _train(self, launch: Launch, trial: Trial) -> None:
        prompts = [Prompt(**p) for p in read_json(trial.folder / "config.json")["prompts"]]
        loss = 0.5 + self.world.run_sd * _normal("loss", self.session, trial.id)
        events = EventLog(trial.folder / "tfevents")
        events.add(trial.steps, {"loss/train": loss, "loss/validation": loss, "speed/steps_per_second": 1.0})
        events.close()
        self._draw(trial.folder / "samples", trial.id, prompts, trial.steps)
        final = trial.folder / "checkpoints" / "final"
        final.mkdir(parents=True)
        save_file({"level": np.ones(1)}, final / "pytorch_lora_weights.safetensors")
        write_exits(exit_files(launch), Exit(0, None, time.time()))

    def _draw(self, out: Path, training: str, prompts: Sequence[Prompt], step: int) -> None:
        out.mkdir(parents=True, exist_ok=True)
        for i, prompt in enumerate(prompts):
            path = out / f"step-{step:06d}-{i:03d}.png"
            level = round(65_535 * self.world.score(f"{self.session} {training}", prompt))
            Image.new("RGB", (1, 1), (level // 256, level % 256, 0)).save(path, compress_level=0)
            append_json(
                out / "index.jsonl", {"path": path.name, "prompt": prompt.text, "seed": prompt.seed, "step": step}
            )


class NullJudge(scripted.ScriptedJudge):
    """Reads the score back from a picture's first two channels."""

    def _look(self, sample: Sample) -> float:
        with Image.open(sample.path) as image:
            high, low, _ = image.getpixel((0, 0))
        return (256 * high + low) / 65_535


def settings_of(dataset: Path, pairs: int, session: int) -> SessionSettings:
    """A tournament of 8 configs, 3 finalists with 2 seeds, then the duel as in any session."""
    return from_preset(
        find_preset(DEMO_PRESET),
        DatasetSettings(folder=str(dataset), trigger_word=DEMO_TRIGGER, class_word=DEMO_CLASS),
        search=SearchSettings(configs=8, steps=50),
        confirmation=ConfirmationSettings(pairs=pairs, sample_seeds=2),
        seed=session,
        workers=1,
    )


@dataclass(frozen=True)
class Played:
    """How a session ended: the verdict's kind, and that of each claim by itself ("" where there is none)."""

    kind: str
    config: str
    checkpoint: str
    pairs: int
    prompts: int
    trials: int


def play(dataset: Path, pairs: int, world: World, session: int) -> Played:
    """One whole session, in a folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="bracket-null-", dir=STORE if STORE.is_dir() else None))
    try:
        launch.create(settings_of(dataset, pairs, session), folder / "session")
        with patched(world, session):
            summary = scripted.play(folder / "session", NullTrainer(), NullJudge())
        assert summary is not None
        v = summary.verdict
        return Played(
            v.kind,
            decide("w", "b", config=v.config).kind if v.config else "",
            decide("w", "b", checkpoint=v.checkpoint).kind if v.checkpoint else "",
            v.config.pairs if v.config else 0,
            v.checkpoint.prompts if v.checkpoint else 0,
            sum(len(ranked.results) for ranking in summary.rounds.values() for ranked in ranking),
        )
    finally:
        shutil.rmtree(folder)


@contextmanager
def patched(world: World, session: int) -> Iterator[None]:
    """No model, no waiting, and no report: thousands of sessions need none of its figures."""
    with ExitStack() as stack:
        for module in (rounds, drawing, judging, run):
            stack.enter_context(patch.object(module, "POLL_SECONDS", 0.0))
        stack.enter_context(patch.object(run, "LocalExecutor", lambda _: InlineExecutor(world, session)))
        stack.enter_context(patch.object(run, "write_report", lambda _, folder, shown: folder / "report.html"))
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1_500)
    parser.add_argument("--pairs", type=int, default=6)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bracket-null-") as folder, ProcessPoolExecutor(workers()) as pool:
        dataset = write_demo_dataset(Path(folder) / "dataset", DEMO_CLASS)
        for world in WORLDS:
            play_one = partial(play, dataset, given.pairs, world)
            print(told(world, list(pool.map(play_one, range(given.sessions), chunksize=4)), given.pairs), flush=True)


def told(world: World, played: Sequence[Played], pairs: int) -> str:
    """The table of one world, with 95 % intervals for what chance does to a rate."""
    duels = [p for p in played if p.config]
    lines = [
        f"{world.name}: {len(played)} sessions, {np.mean([p.trials for p in played]):.1f} trials each, "
        f"{len(duels)} with a duel (in the others the baseline led)",
        _rate("false claims about the settings", [p.config == "config" for p in duels]),
        _rate("  for the baseline, unasked", [p.config == "baseline_wins" for p in duels]),
    ]
    if not world.run_sd:
        lines.append(_rate("false claims about the file", [p.checkpoint in _CLAIMS for p in duels]))
    lines.append(f"  pairs trained, of {pairs}: {np.mean([p.pairs for p in duels]):.1f}")
    lines.append(f"  prompts looked at: {np.mean([p.prompts for p in duels]):.1f}")
    kinds = Counter(p.kind for p in played).most_common()
    return "\n".join([*lines, "  " + ", ".join(f"{kind} {n}" for kind, n in kinds), ""])


_CLAIMS = ("checkpoint", "baseline_wins")


def _rate(what: str, hits: Sequence[bool]) -> str:
    exact = binomtest(sum(hits), len(hits)).proportion_ci()
    return f"{what:<36}{np.mean(hits):6.1%}   ({exact.low:.1%} to {exact.high:.1%})"


if __name__ == "__main__":
    main()
