"""What memory saves where an earlier session is right, and costs where it is wrong.

    python -m tests.benchmarks.bench_memory [--runs 200] [--configs 12] [--earlier 1] [--seed 0]

A made-up problem: a learning rate with a best place and a knee above which trainings melt, three knobs that matter
less, and noise. The earlier sessions saw the same problem with its best rate where this one has it, a bit beside it, or
far off (`misleading`), under scores of another scale; `contrary` ones took the worst for the best. Every line is one
kind of them, `none` is no memory; all runs share their noise and seeds. `regret` is the true loss of the config that
the search would choose, above the best possible; `trials` how many it took until one within 0.02 of it was tried
(configs + 1 where none was).
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bracket.domain import Config, Knob, Outcome, Round, Score, Trial, TrialResult, mean
from bracket.search.memory import Borrowed, Data, Earlier, borrow
from bracket.search.sampling import Proposer

KNOBS = (
    Knob("lr", "float", low=1e-5, high=1e-2, log=True),
    Knob("rank", "choice", choices=(4, 8, 16, 32, 64)),
    Knob("decay", "float", low=0.0, high=0.2),
    Knob("shift", "float", low=1.0, high=5.0),
)
OPENINGS: tuple[Config, ...] = (
    {"lr": 1e-4, "rank": 16, "decay": 0.01, "shift": 3.0},
    {"lr": 1e-3, "rank": 8, "decay": 0.01, "shift": 2.0},
)
SHIFTS = {"same": 0.0, "near": 0.3, "misleading": 1.5, "contrary": 0.0}
"""How far an earlier session's best learning rate lies off, in decades."""
NOISE, MELTS, CLOSE = 0.01, 0.8, 0.02
DATA = Data(20, 1024, "a", "a", class_word="dog")


def loss(config: Config, best: float) -> float:
    """The true loss above the best possible; infinite where it melts. `best` is the log10 of the best rate."""
    off = math.log10(float(config["lr"])) - best
    if off > MELTS:
        return math.inf
    rank, shift = math.log2(float(config["rank"])) - 5, float(config["shift"]) - 4
    return 0.2 * off**2 + 0.01 * rank**2 + 0.03 * shift**2 + 4.0 * (float(config["decay"]) - 0.1) ** 2


def search(best: float, configs: int, seed: int, borrowed: Sequence[Borrowed] = ()) -> list[TrialResult]:
    """One rung, trial by trial, by TPE: a hundred times quicker than the Gaussian process, and it borrows alike."""
    proposer, told = Proposer("tpe", KNOBS, seed=seed, configs=configs, borrowed=borrowed), list[TrialResult]()
    for n in range(configs):
        config = OPENINGS[n] if n < len(OPENINGS) else proposer.next(n, told, [])
        assert config is not None
        trial = Trial(f"search-{n:03d}", Round.SEARCH, "tpe", config, 0, 100, Path())
        true, noise = loss(config, best), random.Random(f"{seed} {n}").gauss(0, NOISE)
        score = None if math.isinf(true) else Score(true + noise, 0.0, 0.0)
        told.append(TrialResult(trial, Outcome.OK if score else Outcome.DIVERGED, score=score))
    return told


def earlier(best: float, configs: int, seed: int, name: str, scale: float) -> Earlier:
    told = search(best, configs, seed)
    tried = tuple((r.trial.config, scale * r.score.total if r.score else None) for r in told)
    return Earlier(name, 100, tried, DATA, "clip")


def measured(told: Sequence[TrialResult], best: float) -> tuple[float, int]:
    """(regret, trials) of one search."""
    chosen = min((r for r in told if r.score), key=lambda r: r.score.total if r.score else math.inf)
    close = [n for n, r in enumerate(told, 1) if loss(r.trial.config, best) <= CLOSE]
    return loss(chosen.trial.config, best), min([*close, len(told) + 1])


def one(kind: str, configs: int, sessions: int, seed: int) -> tuple[float, int]:
    """One search with (or, for `none`, without) `sessions` earlier ones of a kind."""
    best = random.Random(seed).uniform(-4.3, -2.7)
    if kind == "none":
        return measured(search(best, configs, seed), best)
    side = 1 if best < -3.5 else -1
    place, scale = best + side * SHIFTS[kind], -100.0 if kind == "contrary" else 100.0
    seeds = [1_000_000 + seed * 100 + k for k in range(sessions)]
    before = [earlier(place, configs, s, f"earlier-{k}", scale) for k, s in enumerate(seeds)]
    borrowed = borrow(before, KNOBS, steps=100, data=replace(DATA, digest="b"), judge="clip", seed=seed)
    return measured(search(best, configs, seed, borrowed), best)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--configs", type=int, default=12)
    parser.add_argument("--earlier", type=int, default=1, help="earlier sessions in each run")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"{args.runs} runs of {args.configs} configs, {args.earlier} earlier session(s)")
    for kind in ("none", *SHIFTS):
        found = [one(kind, args.configs, args.earlier, args.seed + run) for run in range(args.runs)]
        worst = sorted(regret for regret, _ in found)[int(0.9 * len(found))]
        print(
            f"{kind:<12} regret {mean([r for r, _ in found]):.4f} (nine of ten below {worst:.4f})   "
            f"trials {mean([float(n) for _, n in found]):.1f}"
        )


if __name__ == "__main__":
    main()
