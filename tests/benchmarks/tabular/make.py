"""Makes a table: `python -m tests.benchmarks.tabular.make FOLDER [--table NAME] [--workers 2]`, then with `--pack`.

Every point of the plan is really trained, by the built-in trainer's own loop, and looked at on every rung of the
ladder: the judge's score of each picture, the procedural checker's, and the validation loss. Takes ten to fifteen
seconds of one core a training. It can be broken off at any time: what stands in FOLDER/rows-*.jsonl or in the data file
is not made again.

The easy table is whole: 912 trainings. Of the hard one's 1,610 there are 68 so far, 34 configs of the concept for
reporting with two seeds each; run it again and it goes on. A regression on these would be off a config's quality by
0.13, a single training by 0.05: so sessions get recorded trainings, and nothing smoother (see `grid`).
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from bracket.demo.checker import check
from bracket.demo.dataset import write_demo_dataset
from bracket.domain import Round, Sample, Trial
from bracket.files import append_json, read_json_lines
from bracket.judges import Judge
from bracket.session.asked.judges import session_judge
from bracket.session.asked.settings import DatasetSettings, from_preset
from bracket.session.job import Context, make_context
from bracket.session.running.launch import DEMO_TRIGGER
from tests.benchmarks.tabular.grid import (
    CAPTIONS,
    CONCEPTS,
    EASY,
    PLANS,
    PRESET,
    SAMPLER_STEPS,
    SEEDS,
    SHORT,
    Plan,
    Point,
    points,
)
from tests.benchmarks.tabular.table import Table, load, made, pack, regression_error

if TYPE_CHECKING:
    from bracket.training.config.schema import TrainingConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--table", choices=PLANS, default=EASY.name)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--worker", type=int, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--pack", action="store_true", help="write the data file from what was made")
    given = parser.parse_args()
    plan = PLANS[given.table]
    if given.pack:
        print(pack(plan, rows(given.folder)))
        for concept in CONCEPTS:
            print(told(load(plan, concept), concept))
    elif given.worker is not None:
        work(plan, given.folder, given.worker, given.workers)
    else:
        given.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "tests.benchmarks.tabular.make", str(given.folder)]
        count = ["--table", plan.name, "--workers", str(given.workers)]
        running = [subprocess.Popen([*command, *count, "--worker", str(i)]) for i in range(given.workers)]
        sys.exit(max(p.wait() for p in running))


def told(table: Table, concept: str) -> str:
    """What there is of a concept, and which is the smaller lie: recorded trainings or a regression on them."""
    held = f"{concept}: {len(table.plan.configs)} configs with {table.seeds} seeds"
    if not table.plan.configs:
        return held
    off, single = regression_error(table)
    return f"{held}; off by: a regression on the other configs {off:.3f}, a single training {single:.3f}"


def rows(folder: Path) -> list[dict[str, Any]]:
    """Every row made so far: the point, and what was seen on each rung."""
    return [row for path in sorted(folder.glob("rows-*.jsonl")) for row in read_json_lines(path)]


def work(plan: Plan, folder: Path, worker: int, workers: int) -> None:
    """Train this worker's share of the points that are neither in the folder nor in the data file."""
    every = points(plan)
    done = {row["name"] for row in rows(folder)} | {p.name for p in every if made(plan, p)}
    mine = [p for i, p in enumerate(every) if i % workers == worker and p.name not in done]
    desks: dict[str, Desk] = {}
    for number, point in enumerate(mine):
        began = time.monotonic()
        if point.concept not in desks:
            desks[point.concept] = Desk(plan, folder / f"worker-{worker}", point.concept)
        row = {"name": point.name, **vars(point), "config": plan.configs[point.number]}
        append_json(folder / f"rows-{worker}.jsonl", {**row, "rungs": desks[point.concept].look(point)})
        print(f"worker {worker}: {number + 1}/{len(mine)} {point.name} {time.monotonic() - began:.1f} s", flush=True)


class Desk:
    """One concept's session context with a loaded base and a loaded judge."""

    def __init__(self, plan: Plan, folder: Path, concept: str) -> None:
        from bracket.training.model.klein import Base

        self.plan, self.concept, self.folder = plan, concept, folder / concept
        pictures = write_demo_dataset(folder / f"{concept}-dataset", concept)
        for path in sorted(pictures.glob("*.png"))[plan.pictures :]:
            path.unlink()
        dataset = DatasetSettings(folder=str(pictures), trigger_word=DEMO_TRIGGER, class_word=concept)
        settings = from_preset(PRESET, dataset, sample={"steps": SAMPLER_STEPS}, fixed=plan.fixed)
        made = make_context(self.folder, settings)
        self.context: Context = replace(made, knobs=plan.knobs)
        self.judge: Judge = session_judge(made.judges, self.context.dataset, self.folder / "cache")
        self.base: Base | None = None

    def look(self, point: Point) -> list[dict[str, Any]]:
        """Train one point to its full length; one entry a rung, fewer where it diverged before."""
        from bracket.training.model.klein import Base, choose_device, choose_dtype
        from bracket.training.process.ranks import Ranks
        from bracket.training.trial.loop import Stop, Training

        config, folder = self.plan.configs[point.number], self.folder / point.name
        trial = Trial(point.name, Round.SEARCH, "table", config, SEEDS[point.seed], self.plan.full, folder)
        shutil.rmtree(folder, ignore_errors=True)
        told = self._told(trial)
        if self.base is None:
            device = choose_device(told.device)
            self.base = Base(told.model, device, choose_dtype(told.dtype, device))
        found = self._climb(Training(told, self.base, Ranks(), Stop(), resume=False))
        shutil.rmtree(folder, ignore_errors=True)
        return found

    def _told(self, trial: Trial) -> TrainingConfig:
        """What the trainer is told; shortened captions are those of the training pictures alone."""
        from bracket.training.config.reading import read_trials

        launch = self.context.trainer.launch(self.context.choosing_job(), [trial])
        (config,) = read_trials(Path(launch.argv[3]))
        if trial.config.get(CAPTIONS) != SHORT:
            return config
        train = tuple(f.model_copy(update={"caption": shortened(f.caption)}) for f in config.data.train)
        return config.model_copy(update={"data": config.data.model_copy(update={"train": train})})

    def _climb(self, training: Any) -> list[dict[str, Any]]:
        batches = training.batches.stream(training.config.train.batch_size, training.config.seed, 0, training.ranks)
        training.transformer.train()
        found = []
        for steps in self.plan.ladder:
            while training.step < steps:
                loss, norm = training.advance(batches)
                if not (np.isfinite(loss) and np.isfinite(norm)):
                    return found
            found.append(self._rung(training, steps))
        return found

    def _rung(self, training: Any, steps: int) -> dict[str, Any]:
        loss = training.validation.loss(training.transformer)
        pictures = self._draw(training, self.context.choosing_job().prompts, f"rung-{steps}")
        entry = {
            "steps": steps,
            "loss": float(loss),
            "score": [round(j.score, 4) for j in self.judge.score(pictures)],
            "truth": [round(self._truth(p), 4) for p in pictures],
        }
        return entry

    def _draw(self, training: Any, prompts: Any, name: str) -> list[Sample]:
        from bracket.training.config.schema import PromptSection
        from bracket.training.data.cache import Cache, read
        from bracket.training.trial import sampling

        sample, base = training.config.sample, training.base
        asked = [PromptSection(**vars(p)) for p in prompts]
        texts = sorted(sampling.texts_of(asked, sample))
        cache = Cache(training.config.cache_dir)
        cache.fill(base, [], texts)
        embeddings = {t: read(cache.text(t, base)) for t in texts}
        training.transformer.eval()
        folder = training.folder / "samples" / name
        sampling.draw(base.pipeline, asked, embeddings, sample, folder, training.step)
        training.transformer.train()
        lines = read_json_lines(folder / sampling.INDEX)
        return [Sample(folder / line["path"], line["prompt"], line["seed"], line["step"]) for line in lines]

    def _truth(self, sample: Sample) -> float:
        """The checker's figure for one picture of the demo's prompts, 0..1."""
        _, _size, colour, shape, _on, _a, background, _ = sample.prompt.split()
        image = np.asarray(Image.open(sample.path).convert("RGB"))
        return check(image, self.concept if shape == DEMO_TRIGGER else shape, colour, background).truth


def shortened(caption: str) -> str:
    """A caption of the demo without size and background: "a small red zorp on a blue background" as "a red zorp"."""
    article, _size, colour, word, *_ = caption.split()
    return f"{article} {colour} {word}"


if __name__ == "__main__":
    main()
