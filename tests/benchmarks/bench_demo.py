"""Is the demo's winner right? `python -m tests.benchmarks.bench_demo [--seeds 5] [--folder DIR]`.

An exhaustive sweep of the learning rate (everything else as in the baseline, finals length, two training seeds) is
graded by the procedural checker, which no score ever sees. Then the demo runs with several session seeds, without the
paired runs that only prove and do not choose, and each winner's learning rate is held against the sweep's best one.
Prints the ratio for each session, its wall time, and the peak memory of all processes together.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from bracket.demo.checker import check
from bracket.domain import Round, Sample, Trial, mean
from bracket.runner.devices import workers
from bracket.runner.executor import LocalExecutor
from bracket.session.job import Context, make_context
from bracket.session.running import launch, stages
from bracket.session.store import Store
from bracket.trainers.base import newest

LEARNING_RATES = tuple(float(f"{x:.3g}") for x in np.logspace(-4.5, -1.25, 14))
SEEDS = (90_001, 90_002)
WITHIN = 3.0


def truth(sample: Sample, trigger: str, class_word: str) -> float:
    """What the checker says of one picture of the demo's prompts, 0..1."""
    _, _size, colour, shape, _on, _a, background, _ = sample.prompt.split()
    image = np.asarray(Image.open(sample.path).convert("RGB"))
    return check(image, class_word if shape == trigger else shape, colour, background).truth


def sweep(context: Context) -> dict[float, float]:
    """Checker's truth of every learning rate, mean over pictures and training seeds."""
    slots, job = context.slots, context.choosing_job()
    left = [_trial(context, lr, seed) for lr in LEARNING_RATES for seed in SEEDS]
    trials, running = list(left), []
    with LocalExecutor(len(slots)) as executor:
        while left or running:
            running = [h for h in running if h.poll() is None]
            while left and len(running) < len(slots):
                running.append(executor.submit(context.trainer.launch(job, [left.pop(0)]), slots[0]))
            time.sleep(0.1)
    found: dict[float, list[float]] = {}
    d = context.settings.dataset
    for trial in trials:
        samples = newest(context.trainer.find_samples(trial))
        value = mean([truth(s, d.trigger_word, d.class_word) for s in samples]) if samples else 0.0
        found.setdefault(float(trial.config["learning_rate"]), []).append(value)
    return {lr: mean(values) for lr, values in found.items()}


def _trial(context: Context, lr: float, seed: int) -> Trial:
    name = f"sweep-{lr:g}-{seed}"
    config = {**context.baseline, "learning_rate": lr}
    steps = context.settings.finals.steps
    return Trial(name, Round.FINALS, "sweep", config, seed, steps, context.folder / "trials" / name)


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """Sampled peak of the resident memory of this process's children, in GB."""
    peak, going = [0.0], threading.Event()

    def watch() -> None:
        while not going.wait(0.5):
            total = 0
            for child in psutil.Process().children(recursive=True):
                try:
                    total += child.memory_full_info().pss
                except psutil.Error:
                    continue
            peak[0] = max(peak[0], total / 1e9)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        going.set()
        thread.join()


def session(folder: Path, seed: int, pairs: int) -> tuple[float, float, float]:
    """Run one demo session in a process of its own: (the winner's learning rate, seconds, peak GB)."""
    settings = launch.demo_settings(seed, folder.parent)
    duel = settings.confirmation.model_copy(update={"pairs": pairs})
    launch.create(settings.model_copy(update={"confirmation": duel}), folder)
    began = time.monotonic()
    with peak_memory() as peak:
        subprocess.run([sys.executable, "-m", "bracket", "run", str(folder), "--quiet"], check=True)
    store = Store(folder)
    ranking = stages.rank(store.results(Round.FINALS))
    store.close()
    return float(ranking[0].config["learning_rate"]), time.monotonic() - began, peak[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=0, help="paired runs; the demo itself has five")
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    runs = given.folder or Path(tempfile.mkdtemp(prefix="bracket-bench-"))
    runs.mkdir(parents=True, exist_ok=True)
    settings = launch.demo_settings(0, runs)
    context = make_context(runs / "sweep", settings)
    graded = sweep(context)
    for lr, value in graded.items():
        print(f"sweep  lr {lr:<9g} checker {value:.3f}")
    best = max(graded, key=lambda lr: graded[lr])
    print(f"best by the checker: lr {best:g}; {workers()} workers", flush=True)
    right = 0
    for seed in range(given.seeds):
        lr, seconds, memory = session(runs / f"seed-{seed}", seed, given.pairs)
        ratio = max(lr / best, best / lr)
        right += ratio <= WITHIN
        print(f"seed {seed}  winner lr {lr:.3g}  ratio {ratio:.2f}  {seconds:.0f} s  {memory:.2f} GB", flush=True)
    print(f"{right} passed, {given.seeds - right} failed: winner within a factor of {WITHIN:g} of the best")


if __name__ == "__main__":
    main()
