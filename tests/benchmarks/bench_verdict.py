"""How often each way of naming a winner is wrong when all configs are equal, and how often right when one is better.

    python -m tests.benchmarks.bench_verdict [--sessions 2000] [--seed 0]

Null sessions: K equal configs and a baseline, searched alike; the usual statistics of the search's own data claim that
the config with the best mean beats another. bracket's claims come from a duel on fresh prompts and training seeds, by
somebody who looks after every unit and stops when pleased: at once when the e-process decides or nothing can come of it
any more, else by the exact test at the planned end. Differences of a duel are normal; "1 sd" is one standard deviation
of them. Every rate is a share of sessions and nominally 5 %.

Few pairs can't come near 5 %: the exact test has the level 1/32 = 3.1 % with five, 3/64 = 4.7 % with six, 6/128 = 4.7 %
with seven; from eight on it has 0.04, so 10/256 = 3.9 %.

Coverage is of a duel's stated interval, whatever ended it: 95 % for the files, 92.5 % for the settings, whose ends have
levels of their own. What so few units leave open counts as covered. Differences with heavy tails have Student's
distribution with three degrees of freedom. The win rate is of one picture pair a prompt, so it moves in steps, and its
interval (Wilson's) with it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtr

from bracket.stats import (
    CheckpointClaim,
    ConfigClaim,
    checkpoint_claim,
    config_claim,
    decide,
    e_values,
    win_rate_interval,
)
from bracket.stats.duel.sequential import SLACK, split_alpha
from bracket.stats.duel.signflip import all_subsets, subset_means

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

ALPHA = 0.05
PROMPTS, PICTURES = 8, 2
PROMPT_SD, RUN_SD, RUN_ON_PROMPT_SD, PICTURE_SD = 0.15, 0.03, 0.05, 0.08
"""A tenth of the variance within a prompt comes from the training seed, which is modest."""
EXACT, FLIPS, CHUNK = 12, 1_999, 250
"""Up to so many units all flips are counted; above, so many are drawn, the same for each chunk of sessions."""
DESIGNS = [(f"config, {n} pairs", n, False) for n in (5, 6, 7, 8, 12)]
DESIGNS += [(f"checkpoint, {n} prompts", n, True) for n in (16, 20, 40)]
LEADS = (0.0, 0.5, 1.0, 2.0)
SEARCHED = 8
"""Configs beside the baseline where power is compared at equal cost."""


@dataclass(frozen=True)
class Duels:
    """Watched duels of many sessions: side 1 the winner's, -1 the baseline's, 0 none; each array (sessions,)."""

    side: NDArray[np.int64]
    units: NDArray[np.int64]
    covered: Flags
    """The interval of the mean difference holds the truth, or there is none."""
    fixed: Flags
    """The winner wins by all units at the whole of alpha, when nobody looks before the end."""


def watched(d: Floats, truth: float, *, two_sided: bool, seed: int) -> Duels:
    """Runs every duel, shape (sessions, units), until it is decided, hopeless or complete."""
    parts = np.array_split(d, -(-len(d) // CHUNK))
    found = [_watched(part, truth, two_sided=two_sided, seed=seed + i) for i, part in enumerate(parts)]
    return Duels(*(np.concatenate(columns) for columns in zip(*(vars(one).values() for one in found), strict=True)))


def _watched(d: Floats, truth: float, *, two_sided: bool, seed: int) -> Duels:
    sessions, n = d.shape
    sides, split = 2 if two_sided else 1, split_alpha(n, two_sided)
    ours = e_values(d) * split.live >= 1
    theirs = e_values(-d) * (split.live if two_sided else split.live / 2) >= 1
    side, ended = np.zeros(sessions, dtype=np.int64), np.full(sessions, n)
    live = side.copy()
    running = np.ones(sessions, dtype=bool)
    for t in range(1, n + 1):
        decided = running & (ours[:, t - 1] | theirs[:, t - 1])
        side[decided] = live[decided] = np.where(ours[decided, t - 1], 1, -1)
        stopped = decided.copy()
        if t < n and sides / 2 ** (n - t) > split.final:
            greater, less = p_values(d[:, :t], seed)
            p = np.minimum(greater, less) if two_sided else greater
            stopped |= running & (sides * p / 2 ** (n - t) > split.final)
        ended[stopped] = t
        running &= ~stopped
    greater, less = p_values(d, seed)
    both = 2 * np.minimum(greater, less)
    won = running & ((both if two_sided else greater) <= split.final + SLACK) & (d.mean(axis=1) > 0)
    side[won] = 1
    side[running & ~won & (both <= split.final + SLACK) & (d.mean(axis=1) < 0)] = -1
    fixed = ((both if two_sided else greater) <= ALPHA + SLACK) & (d.mean(axis=1) > 0)
    return Duels(side, ended, covers(d, truth, ended, live, two_sided, seed), fixed)


def p_values(d: Floats, seed: int) -> tuple[Floats, Floats]:
    """One-sided p each way."""
    means = _means(d, seed)
    return (
        (1 + (means <= SLACK).sum(axis=1)) / (means.shape[1] + 1),
        (1 + (means >= -SLACK).sum(axis=1)) / (means.shape[1] + 1),
    )


def _means(d: Floats, seed: int) -> Floats:
    n = d.shape[1]
    subsets = all_subsets(n) if n <= EXACT else np.random.default_rng(seed).integers(0, 2, (FLIPS, n)).astype(float)
    return subset_means(d, subsets[subsets.any(axis=1)])


def covers(
    d: Floats, truth: float, ended: NDArray[np.int64], live: NDArray[np.int64], two_sided: bool, seed: int
) -> Flags:
    """Whether the claim's interval holds the truth: the exact test's ends of the units there are, each at its level.

    Args:
        live: the side that watching decided for, 0 for none.
    """
    n = d.shape[1]
    split = split_alpha(n, two_sided)
    levels = (split.final / 2 if two_sided else split.final, split.final / 2)
    found = np.ones(len(d), dtype=bool)
    for t in np.unique(ended):
        rows = ended == t
        there, side = d[rows, :t], live[rows]
        means = _means(there, seed)
        ranks = [int(level * (means.shape[1] + 1) + 1e-9) for level in levels]
        low = (means <= truth + SLACK).sum(axis=1) >= ranks[0]
        high = (means >= truth - SLACK).sum(axis=1) >= ranks[1]
        if split.live:
            excluded = (e_values(there - truth) * split.live >= 1).any(axis=1)
            low &= (side <= 0) | (~excluded & (truth >= 0))
            excluded = (e_values(truth - there) * (split.live if two_sided else split.live / 2) >= 1).any(axis=1)
            high &= (side >= 0) | (~excluded & (truth <= 0))
        if t < n:
            low |= (side == 0) & (truth >= 0)
            high |= (side == 0) & (truth <= 0)
        found[rows] = low & high
    return found


def rate_covers(d: Floats, rate: float, ended: NDArray[np.int64]) -> Flags:
    """Whether the win rate's interval holds the truth, with one picture pair a prompt."""
    final = split_alpha(d.shape[1], True).final
    wins = ((d > 0) & (np.arange(d.shape[1]) < ended[:, None])).sum(axis=1)
    found = np.ones(len(d), dtype=bool)
    for won, units in set(zip(wins.tolist(), ended.tolist(), strict=True)):
        low, high, _ = win_rate_interval((np.arange(units) < won).astype(float)[:, None], alpha=final)
        found[(wins == won) & (ended == units)] = low <= rate <= high
    return found


def agree(rng: np.random.Generator, n: int, *, two_sided: bool, sessions: int = 40) -> None:
    """The vectors above say what bracket itself says, unit by unit; intervals too."""
    truth = 0.025
    d = rng.normal(0.5, 1, (sessions, n)) / 20
    found = watched(d, truth, two_sided=two_sided, seed=0)
    rates = rate_covers(d, 0.6, found.units)
    for row, side, units, covered, rate in zip(d, found.side, found.units, found.covered, rates, strict=True):
        told = row[:units]
        claim: CheckpointClaim | ConfigClaim
        if two_sided:
            claim = file = checkpoint_claim(0.5 + told, np.full(units, 0.5), planned=n)
            kind = decide("winner", "baseline", checkpoint=file).kind
            assert rate == (file.win_rate_low <= 0.6 <= file.win_rate_high), (row, file)
        else:
            claim = settings = config_claim(told, planned=n)
            kind = decide("winner", "baseline", config=settings).kind
        assert {"config": 1, "checkpoint": 1, "baseline_wins": -1}.get(kind, 0) == side, (row, kind)
        low, high = claim.difference_low, claim.difference_high
        assert covered == ((low is None or low <= truth) and (high is None or truth <= high)), (row, claim)


def duel_table(rng: np.random.Generator, sessions: int) -> None:
    print("bracket's duels, watched after every unit and stopped when pleased\n")
    heads = ("false", "units", "units", "right", "fixed n")
    print(" " * 34 + "equal arms" + " " * 8 + "1 sd apart")
    print(f"{'':<26}" + "".join(f"{head:>10}" for head in heads))
    for name, n, two_sided in DESIGNS:
        if n <= EXACT:  # the vectors are held against bracket's own claims
            agree(rng, n, two_sided=two_sided)
            agree(rng, n, two_sided=not two_sided)
        null = watched(rng.normal(0, 1, (sessions, n)), 0.0, two_sided=two_sided, seed=n)
        apart = watched(rng.normal(1, 1, (sessions, n)), 1.0, two_sided=two_sided, seed=n)
        false = (null.side != 0) if two_sided else (null.side > 0)
        shares = [f"{false.mean():.1%}", f"{null.units.mean():.1f}", f"{apart.units.mean():.1f}"]
        shares += [f"{(apart.side > 0).mean():.1%}", f"{apart.fixed.mean():.1%}"]
        print(f"{name:<26}" + "".join(f"{share:>10}" for share in shares))


def coverage_table(rng: np.random.Generator, sessions: int) -> None:
    """Coverage by the true difference in standard deviations; a cell of 4,000 sessions is exact to 0.7 points."""
    print("\nCoverage of the intervals, whatever ended the duel, by the true difference in sd\n")
    groups = ("mean, normal", "mean, heavy tails", "win rate")
    print(" " * 26 + "".join(f"{group:^32}" for group in groups))
    print(" " * 26 + "".join(f"{lead:>8}" for _ in groups for lead in LEADS))
    for name, n, two_sided in DESIGNS:
        means, tails, rates = [], [], []
        for lead in LEADS:
            d = rng.normal(lead, 1, (sessions, n))
            duels = watched(d, lead, two_sided=two_sided, seed=n)
            means.append(duels.covered)
            heavy = lead + rng.standard_t(3, (sessions, n)) / np.sqrt(3)
            tails.append(watched(heavy, lead, two_sided=two_sided, seed=n).covered)
            if two_sided:
                rates.append(rate_covers(d, float(ndtr(lead)), duels.units))
        print(f"{name:<26}" + "".join(f"{covered.mean():>8.1%}" for covered in (*means, *tails, *rates)))


def search_table(rng: np.random.Generator, sessions: int) -> None:
    designs = [(configs, seeds) for configs in (8, 32) for seeds in (3, 10)]
    columns = [searches(rng, sessions, configs, seeds) for configs, seeds in designs]
    print(f"\nFalse claims from the search's own data, {sessions} sessions of equal configs\n")
    print(" " * 52 + "".join(f"{f'K={k}, {s} seeds':>15}" for k, s in designs))
    for method in columns[0]:
        print(f"{method:<52}" + "".join(f"{column[method]:>14.1%} " for column in columns))


def searches(rng: np.random.Generator, sessions: int, configs: int, seeds: int) -> dict[str, float]:
    """Share of null searches in which each usual method claims a winner."""
    arms = (sessions, configs + 1, seeds)
    scores = rng.normal(0, RUN_SD, (*arms, 1, 1)) + rng.normal(0, RUN_ON_PROMPT_SD, (*arms, PROMPTS, 1))
    scores = scores + rng.normal(0, PICTURE_SD, (*arms, PROMPTS, PICTURES))
    scores += rng.normal(0, PROMPT_SD, (sessions, 1, 1, PROMPTS, 1))
    runs = scores.mean(axis=(3, 4))
    best, second = order(runs)
    rows = np.arange(sessions)
    pictures = scores.reshape(sessions, configs + 1, -1)
    against_baseline, up = welch(runs[rows, best], runs[:, 0])
    against_second, _ = welch(runs[rows, best], runs[rows, second])
    by_picture, picture_up = welch(pictures[rows, best], pictures[:, 0])
    return {
        "Welch, best vs runner-up": float((against_second <= 0.05).mean()),
        "95 % interval vs baseline, in the winner's favour": float(((against_baseline <= 0.05) & up).mean()),
        "Welch one-sided 5 %, best vs baseline": float(((against_baseline <= 0.1) & up).mean()),
        "t-test over pictures, best vs baseline": float(((by_picture <= 0.05) & picture_up).mean()),
    }


def order(runs: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The best and second best config of each session by mean; the baseline is the first arm and no candidate."""
    ranked = 1 + np.argsort(-runs[:, 1:].mean(axis=2), axis=1)
    return ranked[:, 0], ranked[:, 1]


def welch(a: Floats, b: Floats) -> tuple[Floats, Flags]:
    """Two-sided p of Welch's test per session, and whether a's mean is above b's; shapes (sessions, n)."""
    parts = [arm.var(axis=1, ddof=1) / arm.shape[1] for arm in (a, b)]
    squared = parts[0] + parts[1]
    df = squared**2 / sum(part**2 / (arm.shape[1] - 1) for part, arm in zip(parts, (a, b), strict=True))
    t = (a.mean(axis=1) - b.mean(axis=1)) / np.sqrt(squared)
    return 2 * stdtr(df, -np.abs(t)), t > 0


def cost_table(rng: np.random.Generator, sessions: int) -> None:
    """Right claims at equal training cost: one config of eight is better than the seven others and the baseline."""
    print(f"\nRight claims when one of {SEARCHED} configs is better, by its lead in sd of a training's score\n")
    print("bracket: 1 seed each, then 6 fresh pairs, at most 21 trainings. Welch: 2 or 3 seeds each, 18 or 27.\n")
    leads = (1.0, 1.5, 2.0, 3.0)
    print(" " * 52 + "".join(f"{f'{lead} sd':>10}" for lead in leads))
    columns = [costs(rng, sessions, lead) for lead in leads]
    for method in columns[0]:
        print(f"{method:<52}" + "".join(f"{column[method]:>9.1%} " for column in columns))
    ours = "bracket"
    for method in [m for m in columns[0] if m != ours]:
        ratios = [column[ours] / max(column[method], 1 / sessions) for column in columns]
        print(f"{'bracket / ' + method:<52}" + "".join(f"{ratio:>9.1f} " for ratio in ratios))


def costs(rng: np.random.Generator, sessions: int, lead: float) -> dict[str, float]:
    """Share of sessions in which a method names the better config and claims that it is better."""
    truth = np.zeros(SEARCHED + 1)
    truth[1] = lead
    rows = np.arange(sessions)
    first, _ = order(truth[:, None] + rng.normal(0, 1, (sessions, SEARCHED + 1, 1)))
    fresh = truth[first][:, None] + rng.normal(0, 1, (sessions, 6)) - rng.normal(0, 1, (sessions, 6))
    claimed = watched(fresh, 0.0, two_sided=False, seed=0).side > 0
    found = {"bracket": float((claimed & (first == 1)).mean())}
    for seeds in (2, 3):
        runs = truth[:, None] + rng.normal(0, 1, (sessions, SEARCHED + 1, seeds))
        best, second = order(runs)
        p, _ = welch(runs[rows, best], runs[rows, second])
        found[f"Welch vs runner-up, {seeds} seeds"] = float(((p <= 0.05) & (best == 1)).mean())
        p, up = welch(runs[rows, best], runs[:, 0])
        right = up & (best == 1)
        found[f"Welch vs baseline at 5 % (void), {seeds} seeds"] = float(((p <= 0.05) & right).mean())
        found[f"Welch vs baseline, Bonferroni, {seeds} seeds"] = float(((p <= 0.05 / SEARCHED) & right).mean())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    duel_table(rng, arguments.sessions)
    coverage_table(rng, arguments.sessions)
    search_table(rng, arguments.sessions)
    cost_table(rng, 4 * arguments.sessions)


if __name__ == "__main__":
    main()
