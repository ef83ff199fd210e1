"""What does it cost to end the search early? `python -m tests.benchmarks.bench_enough [--sessions 60]`.

Replays the same tournament on the recorded trainings with several `stop_below`, and says what of the first rung was
spared and how much worse the configs are that the sessions name, graded by the checker (`bench_search`).
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from bracket.runner.devices import workers
from bracket.search.strategies.protocol import rungs_of
from tests.benchmarks.bench_search import FINALISTS
from tests.benchmarks.tabular.flows import search
from tests.benchmarks.tabular.grid import CONCEPTS, EASY
from tests.benchmarks.tabular.play import Grade, grade
from tests.benchmarks.tabular.table import load

CONFIGS = 33
BELOW = (0.0, 0.003, 0.01, 0.03)


def play(concept: str, sessions: int, below: float) -> Grade:
    """All sessions that end their first rung below this expected gain."""
    rungs = rungs_of("tournament", configs=CONFIGS, steps=EASY.full // 4, rounds=2, reduction=6, finalists=FINALISTS)
    title = f"ended below {below:g}" if below else "never ended early"
    return grade(title, search("tournament", rungs, FINALISTS, below=below), load(EASY, concept), range(sessions))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=60)
    parser.add_argument("--concept", choices=CONCEPTS, default=CONCEPTS[-1])
    given = parser.parse_args()
    print(f"{given.concept}, {CONFIGS} configs, {given.sessions} sessions\n")
    with ProcessPoolExecutor(workers()) as pool:
        for graded in pool.map(partial(play, given.concept, given.sessions), BELOW):
            print(graded, flush=True)


if __name__ == "__main__":
    main()
