"""How often each way of naming a winner is wrong when all configs are equal.

    python -m tests.benchmarks.bench_verdict [--sessions 2000] [--seed 0]

Every simulated session compares K equal configs with a baseline by the same search, takes the one with the best mean,
and asks whether it beats the baseline. bracket's own claims come from a duel on fresh prompts and training seeds; the
others are what is usually computed, from the search's own data. Every rate is a share of sessions and nominally 5 %;
"in the winner's favour" is half of that for a 95 % interval. Five pairs can't come nearer to 5 % than 1/32, six 3/64.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bracket.stats import checkpoint_claim, config_claim, decide, welch

Floats = NDArray[np.float64]

PROMPTS, PICTURES = 8, 2
DUEL_PROMPTS, DUEL_PICTURES = 40, 2
PROMPT_SD, RUN_SD, RUN_ON_PROMPT_SD, PICTURE_SD = 0.15, 0.03, 0.05, 0.08
"""A tenth of the variance within a prompt comes from the training seed, which is modest."""


def draw(rng: np.random.Generator, runs: tuple[int, ...], prompts: int, pictures: int, run_sd: float) -> Floats:
    """Scores of equal configs, shape (*runs, prompts, pictures); prompts are shared by all runs."""
    run = rng.normal(0, run_sd, (*runs, 1, 1))
    on_prompt = rng.normal(0, RUN_ON_PROMPT_SD, (*runs, prompts, 1))
    noise = rng.normal(0, PICTURE_SD, (*runs, prompts, pictures))
    scores: Floats = 0.5 + rng.normal(0, PROMPT_SD, (prompts, 1)) + run + on_prompt + noise
    return scores


def session(rng: np.random.Generator, configs: int, seeds: int) -> dict[str, bool]:
    """One null session: which methods claim a winner."""
    search = draw(rng, (configs + 1, seeds), PROMPTS, PICTURES, RUN_SD)
    runs = search.mean(axis=(2, 3))
    baseline, ranked = runs[0], 1 + np.argsort(-runs[1:].mean(axis=1))
    best, second = runs[ranked[0]], runs[ranked[1]]
    against_baseline, against_second = welch(best, baseline), welch(best, second)
    by_picture = welch(search[ranked[0]].ravel(), search[0].ravel())
    return {
        **duel(rng),
        "Welch, best vs runner-up": (against_second.p_two_sided or 1) <= 0.05,
        "95 % interval vs baseline, in the winner's favour": (against_baseline.low or 0) > 0,
        "Welch one-sided 5 %, best vs baseline": (welch(best, baseline, alpha=0.1).low or 0) > 0,
        "t-test over pictures, best vs baseline": (by_picture.low or 0) > 0,
    }


def duel(rng: np.random.Generator) -> dict[str, bool]:
    """Fresh prompts and training seeds; the checkpoint claim is put to two truly equal checkpoints."""
    fresh = draw(rng, (2, 6), PROMPTS, PICTURES, RUN_SD).mean(axis=(2, 3))
    differences = fresh[0] - fresh[1]
    files = draw(rng, (2,), DUEL_PROMPTS, DUEL_PICTURES, 0.0)
    checkpoint = checkpoint_claim(files[0], files[1], seed=int(rng.integers(2**31)), draws=1_999)
    config = config_claim(differences)
    kinds = {
        "five": decide("winner", "baseline", config=config_claim(differences[:5])).kind,
        "six": decide("winner", "baseline", config=config).kind,
        "file": decide("winner", "baseline", checkpoint=checkpoint).kind,
    }
    return {
        "bracket, config claim, 5 fresh pairs": kinds["five"] == "config",
        "bracket, config claim, 6 fresh pairs": kinds["six"] == "config",
        "bracket, checkpoint claim, 40 fresh prompts": kinds["file"] in ("checkpoint", "baseline_wins"),
    }


def rates(one: Callable[[], dict[str, bool]], sessions: int) -> dict[str, float]:
    """Share of sessions in which each method claims a winner."""
    found = [one() for _ in range(sessions)]
    return {method: float(np.mean([claims[method] for claims in found])) for method in found[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    designs = [(configs, seeds) for configs in (8, 32) for seeds in (3, 10)]
    columns = [rates(lambda k=k, s=s: session(rng, k, s), arguments.sessions) for k, s in designs]  # type: ignore[misc]
    heads = [f"K={k}, {s} seeds" for k, s in designs]
    print(f"False claims in {arguments.sessions} sessions of equal configs\n")
    print(" " * 52 + "".join(f"{head:>15}" for head in heads))
    for method in columns[0]:
        print(f"{method:<52}" + "".join(f"{column[method]:>14.1%} " for column in columns))


if __name__ == "__main__":
    main()
