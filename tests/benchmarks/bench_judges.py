"""Whether a judge's check against a person's votes keeps its word.

    python -m tests.benchmarks.bench_judges [--simulations 2000] [--seed 0]

First table: how often the interval of the corrected win rate covers what the person would say, nominally 95 %. A judge
says what the person says in `accuracy` of the pairs and the opposite in the rest; `bias` is the share of pairs in which
it favours one side whatever the pictures (above 0 the winner's, below 0 the baseline's). The columns are the person's
true win rate. Second table: how much narrower the interval is than the votes' own. Third table: how often the gate lets
a judge through, looked at once, and after every vote and stopped at the first pass.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bracket.stats import agreement, corrected_rate, gate

Floats = NDArray[np.float64]

SIZES = ((20, 40), (20, 100), (20, 400), (40, 100), (40, 400), (60, 100), (60, 400))
JUDGES = ((0.5, 0.0), (0.6, 0.0), (0.75, 0.0), (0.75, 0.3), (0.85, 0.0), (0.85, -0.3), (0.95, 0.0), (0.95, 0.3))
RATES = (0.5, 0.6, 0.75, 0.9)
AGREEING = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)
VOTES = (20, 40, 60, 100)


def pairs(rng: np.random.Generator, n: int, rate: float, accuracy: float, bias: float) -> tuple[Floats, Floats]:
    """What a judge and the person say of n pairs, 1 for the winner's picture; shape (n,) each."""
    person = rng.random(n) < rate
    judge = np.where(rng.random(n) < accuracy, person, ~person)
    judge = np.where(rng.random(n) < abs(bias), bias > 0, judge)
    return judge.astype(np.float64), person.astype(np.float64)


def corrected(
    rng: np.random.Generator, simulations: int, size: tuple[int, int], rate: float, judge: tuple[float, float]
) -> tuple[float, float]:
    """Coverage of the interval, and its mean width over that of the same votes without the judge."""
    votes, total = size
    covered, width, alone = 0, 0.0, 0.0
    for _ in range(simulations):
        said, person = pairs(rng, total, rate, *judge)
        voted = rng.permutation(total)[:votes]
        found = corrected_rate(said, person[voted], voted)
        bare = corrected_rate(person[voted], person[voted], np.arange(votes))
        covered += found.low <= rate <= found.high
        width, alone = width + found.high - found.low, alone + bare.high - bare.low
    return covered / simulations, width / alone


def passes(rng: np.random.Generator, simulations: int, agrees: float) -> Iterator[tuple[float, float]]:
    """For each number of votes: share of judges that pass there, and that pass at any look up to there."""
    known: dict[tuple[int, int], bool] = {}

    def through(agreed: int, n: int) -> bool:
        if (agreed, n) not in known:
            found = agreement(np.repeat([1.0, 0.0], [agreed, n - agreed]), np.ones(n))
            known[agreed, n] = gate(found).state == "passed"
        return known[agreed, n]

    right = (rng.random((simulations, max(VOTES))) < agrees).cumsum(axis=1)
    passed = np.array([[through(int(k), n + 1) for n, k in enumerate(row)] for row in right])
    for votes in VOTES:
        yield float(passed[:, votes - 1].mean()), float(passed[:, :votes].any(axis=1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, simulations = np.random.default_rng(arguments.seed), arguments.simulations
    head = f"{'votes of pairs':<16}{'accuracy':>9}{'bias':>6}" + "".join(f"{rate:>10.0%}" for rate in RATES)
    print(f"Coverage of 95 % intervals of the corrected win rate, {simulations} simulations each\n\n{head}")
    covers, narrower = [], []
    for size in SIZES:
        for judge in JUDGES:
            cells = [corrected(rng, simulations, size, rate, judge) for rate in RATES]
            start = f"{f'{size[0]} of {size[1]}':<16}{judge[0]:>9.0%}{judge[1]:>6.1f}"
            print(start + "".join(f"{cover:>10.1%}" for cover, _ in cells), flush=True)
            covers += [cover for cover, _ in cells]
            narrower.append(start + "".join(f"{ratio:>10.2f}" for _, ratio in cells))
    inside = np.mean([0.93 <= cover <= 0.97 for cover in covers])
    print(f"\nbetween 93 and 97 %: {inside:.0%} of cells; least {min(covers):.1%}, most {max(covers):.1%}")
    print(f"\nWidth of the interval over that of the votes alone\n\n{head}\n" + "\n".join(narrower))
    print("\nJudges let through by the gate, looked at once / after every vote\n")
    print(f"{'agrees in':<12}" + "".join(f"{f'{votes} votes':>18}" for votes in VOTES))
    for agrees in AGREEING:
        found = passes(rng, simulations, agrees)
        print(f"{agrees:<12.0%}" + "".join(f"{f'{once:.1%} / {ever:.1%}':>18}" for once, ever in found), flush=True)


if __name__ == "__main__":
    main()
