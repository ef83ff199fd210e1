"""What the runner costs beside the command itself: a launch that does nothing, in all the ways there are.

    python -m tests.benchmarks.bench_runner [--rounds 20] [--trainer]

Prints medians in one run: `subprocess.run` of the command, the same through the executor (start, guard, log, exit
record, end seen by a poll every 20 ms), and their difference, which is to be under 1 s; then what all that is read of a
log costs when it has 100 MB and not one line end. `--trainer` also trains the embedded base for one step, as a process
of its own and in a warm worker.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

from PIL import Image
from tqdm import tqdm

from bracket.domain import Launch
from bracket.runner.devices import Device
from bracket.runner.executor import LocalExecutor
from bracket.runner.reading.bars import LogBars
from bracket.runner.reading.outcome import classify
from bracket.runner.reading.signs import read_signs
from bracket.runner.reading.tail import LogTail, last_lines
from bracket.session.evaluate import LOG_LINES

CPU = Device("cpu", "cpu", "", 0)
ROOT = Path(__file__).parents[2]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--trainer", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, LocalExecutor(1) as executor:
        log = Path(name) / "launch.log"
        nothing = Launch((), (sys.executable, "-S", "-c", "pass"), ROOT, log)
        bare = timed("subprocess.run", options.rounds, lambda: bare_run(nothing))
        cold = timed("executor", options.rounds, lambda: run(executor, nothing))
        print(f"subprocess.run  {bare:7.3f} s")
        print(f"executor        {cold:7.3f} s")
        print(f"the runner's    {cold - bare:7.3f} s (target < 1)")
        seconds, memory = read_endless(Path(name) / "endless.log")
        print(f"endless log     {seconds:7.3f} s (target < 1), {memory:.0f} MB (target < 50)")
        if options.trainer:
            trainers = one_step(Path(name))
            first, *warm = (timed("trainer, warm", 1, lambda: run(executor, next(trainers))) for _ in range(4))
            cold = timed("trainer, cold", 3, lambda: run(executor, replace(next(trainers), warm_task=None)))
            print(f"one step, cold  {cold:7.3f} s")
            print(
                f"one step, warm  {median(warm):7.3f} s ({cold / median(warm):.1f}× as fast; the first {first:.3f} s)"
            )


def read_endless(log: Path) -> tuple[float, float]:
    """CPU seconds and MB of memory that a log of 100 MB without a line end takes, read as a launch's end reads it."""
    log.touch()
    bars, tail = LogBars(log), LogTail(log)
    with log.open("wb") as file:
        for _ in range(100):
            file.write((b"OOM during training step, skipping batc. loss is na. 12345 " * 20_000)[:1_000_000])
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    signs = read_signs(log)
    bars.read_new()
    tail.read_new()
    classify(1, last_lines(log, LOG_LINES), False, False, signs=signs)
    seconds = time.process_time() - began
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000


def one_step(folder: Path) -> Iterator[Launch]:
    """Launches that each train the embedded base anew for one step on two plain pictures."""
    for colour in ("red", "blue"):
        Image.new("RGB", (64, 64), colour).save(folder / f"{colour}.png")
        (folder / f"{colour}.txt").write_text(f"a {colour} background")
    config = {
        "output_dir": "",
        "device": "cpu",
        "model": {"path": str(ROOT / "presets/embedded/base"), "text_length": 16, "text_layers": [1, 2, 3]},
        "data": {"folder": str(folder), "resolution": 64, "cache_dir": str(folder / "cache")},
        "train": {"steps": 1},
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))
    for number in itertools.count():
        arguments = (str(path), "--set", f"output_dir={folder / str(number)}")
        argv = (sys.executable, "-m", "bracket.training", *arguments)
        yield Launch((), argv, ROOT, folder / "trainer.log", warm_task=("train", *arguments))


def bare_run(launch: Launch) -> None:
    """The command alone, with its output in a file."""
    with open(launch.log, "ab") as log:
        subprocess.run(launch.argv, stdout=log, stderr=log, cwd=launch.cwd, check=False)


def run(executor: LocalExecutor, launch: Launch) -> None:
    """A launch from submit to its seen end."""
    handle = executor.submit(launch, CPU)
    while not (end := handle.poll()):
        time.sleep(0.02)
    if end.code != 0:
        raise SystemExit(f"the launch failed: {last_lines(launch.log, 20)}")


def timed(name: str, rounds: int, work: Callable[[], None]) -> float:
    """Median wall seconds of a call."""
    seconds = []
    for _ in tqdm(range(rounds), desc=name, disable=None):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return median(seconds)


if __name__ == "__main__":
    main()
