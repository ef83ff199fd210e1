"""Whether what a duel says is true in worlds that are not its null's.

    python -m tests.benchmarks.bench_worlds [SESSIONS]

Duels of the settings as a session runs them, watched after every unit and ended by its own rules, then weighed by
`decide`. In each world nothing may be claimed for the winner in more than 5 % of the sessions that is not so there:
that the arms differ, that it wins more often, or that its average is higher. `all` counts every claim, as a reader
would who hears "on average" in each. First, duels of two files over prompts that share themes. Then whoever tries until
something is said: five sessions in a row, and a session with six additions, each try held to what the ones before left
of alpha and given the fewest pairs that can claim, or more. Last, the power in a plain world, the coverage of both
intervals, and how often an interval and its claim contradict each other.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from bracket.domain import Judgement, Sample
from bracket.report.claims.scores import Rules, claims_of
from bracket.session.duel.course import duel_of, follow
from bracket.session.duel.plan import BASELINE, WINNER, DuelPlan
from bracket.stats import ConfigClaim, config_claim, decide
from bracket.stats.duel.signflip import Floats
from bracket.stats.duel.tries import fewest_pairs, next_alpha

PAIRS = (5, 8, 12)
Draw = Callable[[np.random.Generator, int], tuple[Floats, Floats]]
"""Scores of winner and baseline in so many pairs, 0..1; what crashed is 0."""


@dataclass(frozen=True)
class World:
    """`true`: what may be said of the winner there: "alike" (nothing), "often" or "average"."""

    draw: Draw
    true: frozenset[str] = frozenset()


def _normal(rng: np.random.Generator, n: int, mean: float = 0.5, sd: float = 0.08) -> Floats:
    return np.clip(rng.normal(mean, sd, n), 0, 1)


def _same(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    return _normal(rng, n), _normal(rng, n)


def _melting(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """The winner melts in one of six and is better else, so that its mean is the baseline's."""
    return np.where(rng.random(n) < 1 / 6, 0.0, _normal(rng, n, 0.6)), _normal(rng, n, 0.5)


def _skewed(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """The baseline is now and then much better, with the same mean."""
    return _normal(rng, n, 0.5, 0.02), np.clip(0.4 + rng.exponential(0.1, n), 0, 1)


def _ceiling(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    return _normal(rng, n, 0.97), _normal(rng, n, 0.97)


def _levels(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    ours, theirs = (np.round(4 * _normal(rng, n, 0.5, 0.2)) / 4 for _ in range(2))
    return ours, theirs


def _drift(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """What is judged second is scored half a standard deviation higher; which arm that is, chance decides."""
    ours, theirs = _same(rng, n)
    second = rng.random(n) < 0.5
    return np.clip(ours + 0.04 * second, 0, 1), np.clip(theirs + 0.04 * ~second, 0, 1)


def _crashes(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """What would have scored low crashes, in both arms."""
    ours, theirs = (np.where(scores < 0.42, 0.0, scores) for scores in _same(rng, n))
    return ours, theirs


def _lead(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    return _normal(rng, n, 0.62), _normal(rng, n, 0.5)


OFTEN = frozenset({"alike", "often"})
WORLDS = {
    "same": World(_same),
    "melting": World(_melting, OFTEN),
    "skewed": World(_skewed, OFTEN),
    "ceiling": World(_ceiling),
    "five levels": World(_levels),
    "drift": World(_drift),
    "crashes": World(_crashes),
    "lead 1.1 sd": World(_lead, OFTEN | {"average"}),
}


def session(rng: np.random.Generator, draw: Draw, pairs: int, alpha: float = 0.05) -> ConfigClaim:
    """The claim of one duel, ended where its rules end it."""
    ours, theirs = draw(rng, pairs)
    seeds = tuple(range(pairs))
    plan = DuelPlan(winner={}, baseline={}, alpha=alpha, prompts=(), pictures=(), pairs=pairs, training_seeds=seeds)
    course = follow(plan, [{"baseline": float(d)} for d in ours - theirs], two_sided=False)
    return config_claim(course.differences["baseline"], planned=pairs, alpha=alpha)


def tries(rng: np.random.Generator, draw: Draw, count: int, more: int) -> str:
    """What the first of so many tries that claims anything says; each has `more` pairs than it needs at least."""
    for able in range(count):
        alpha = next_alpha(0.05, able)
        if what := said(session(rng, draw, fewest_pairs(alpha=alpha) + more, alpha)):
            return what
    return ""


def said(claim: ConfigClaim) -> str:
    """What is said for the winner: "", or as `PairedClaim.says` has it, "alike" for neither."""
    return (claim.says or "alike") if decide("w", "b", config=claim, alpha=claim.alpha).kind == "config" else ""


def contradicts(claim: ConfigClaim) -> bool:
    """Whether the interval excludes 0 where nothing is claimed, or reaches below it where the winner is."""
    verdict = decide("w", "b", config=claim, alpha=claim.alpha)
    kind, low, high = verdict.kind, claim.difference_low, claim.difference_high
    if kind == "config":
        return low is None or low < 0
    return (low is not None and low > 0) or (kind != "baseline_wins" and high is not None and high < 0)


def themed(rng: np.random.Generator, themes: int, each: int, *, known: bool) -> bool:
    """Whether a duel of two equal files claims anything for the winner, over so many prompts of each theme, whose
    leads correlate by 0.6; `known`: whether the plan knows of the themes."""
    texts = [f"{theme}/{prompt}" for theme in range(themes) for prompt in range(each)]
    leads = 0.1 * (np.sqrt(0.6) * np.repeat(rng.normal(size=themes), each) + np.sqrt(0.4) * rng.normal(size=len(texts)))
    plan = DuelPlan(
        winner={},
        baseline={},
        alpha=0.05,
        prompts=tuple(texts),
        pictures=tuple((text, 1) for text in texts),
        themes={text: text.split("/")[0] for text in texts} if known else {},
        pairs=0,
        training_seeds=(),
    )
    arms = {
        name: [
            Judgement(Sample(Path(text), text, 1, 0), "", float(s), {}) for text, s in zip(texts, scores, strict=True)
        ]
        for name, scores in ((WINNER, np.clip(0.5 + leads, 0, 1)), (BASELINE, np.full(len(texts), 0.5)))
    }
    claims = claims_of(duel_of(plan, arms), (), Rules.of(plan.as_dict()))
    return decide("w", "b", checkpoint=claims.checkpoint).kind == "checkpoint"


def main(sessions: int = 2000) -> None:
    rng = np.random.default_rng(0)
    for themes, each in ((6, 4), (8, 3), (12, 2)):
        for known in (True, False):
            wrong = sum(themed(rng, themes, each, known=known) for _ in range(sessions))
            bound = binomtest(wrong, sessions).proportion_ci(0.95, method="exact").high
            what = "themes count" if known else "prompts count"
            print(
                f"{themes} themes of {each} prompts, {what}: false {wrong / sessions:.3f}, at most {bound:.3f}",
                flush=True,
            )
    print(f"{sessions} sessions each; false: share of sessions with a claim that is not so, and its 95 % upper bound")
    print(f"{'world':<14}{'pairs':>6}{'all':>8}{'average':>9}{'often':>8}{'alike':>8}{'false':>8}{'at most':>9}")
    total = clash = 0
    for name, world in WORLDS.items():
        for pairs in PAIRS:
            claims = [session(rng, world.draw, pairs) for _ in range(sessions)]
            found = Counter(map(said, claims))
            total, clash = total + sessions, clash + sum(map(contradicts, claims))
            wrong = sum(count for what, count in found.items() if what and what not in world.true)
            bound = binomtest(wrong, sessions).proportion_ci(0.95, method="exact").high
            shares = [found[what] / sessions for what in ("average", "often", "alike")]
            print(f"{name:<14}{pairs:>6}{sum(shares):>8.3f}{shares[0]:>9.3f}{shares[1]:>8.3f}{shares[2]:>8.3f}"
                  f"{wrong / sessions:>8.3f}{bound:>9.3f}", flush=True)  # fmt: skip
    print(f"interval against claim: {clash} of {total} contradict")
    again(rng, sessions)
    for lead in (0.0, 0.06, 0.12):
        for pairs in PAIRS:
            draw: Draw = lambda r, n, lead=lead: (_normal(r, n, 0.4 + lead), _normal(r, n, 0.4))  # noqa: E731
            claims = [session(rng, draw, pairs) for _ in range(sessions)]
            ends = [(c.difference_low, c.difference_high, c.average_low, c.average_high) for c in claims]
            held = [
                np.mean([end[i] is None or (end[i] <= lead if i % 2 == 0 else end[i] >= lead) for end in ends])
                for i in range(4)
            ]
            shares = ", ".join(f"{share:.3f}" for share in held)
            print(f"lead {lead:.2f}, {pairs} pairs: ends hold in {shares} (lower, upper; the average's)", flush=True)


def again(rng: np.random.Generator, sessions: int) -> None:
    """Whoever tries until something is said, and the power of a first try beside one that has all of alpha."""
    for name, count in (("five sessions in a row", 5), ("a session and six additions", 7)):
        for world in ("same", "melting", "skewed", "crashes"):
            for more in (0, 3):
                found = [tries(rng, WORLDS[world].draw, count, more) for _ in range(sessions)]
                wrong = sum(bool(what) and what not in WORLDS[world].true for what in found)
                bound = binomtest(wrong, sessions).proportion_ci(0.95, method="exact").high
                share = f"false {wrong / sessions:.3f}, at most {bound:.3f}"
                print(f"{name}, {world}, {more} pairs more than needed: {share}", flush=True)
    for pairs in (5, 6, 8, 12):
        seeds = [int(seed) for seed in rng.integers(2**63, size=sessions)]
        first, whole = (
            np.mean([bool(said(session(np.random.default_rng(s), _lead, pairs, alpha))) for s in seeds])
            for alpha in (next_alpha(0.05, 0), 0.05)
        )
        print(f"lead 1.1 sd, {pairs} pairs: a first try finds {first:.3f}, with all of alpha {whole:.3f}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
