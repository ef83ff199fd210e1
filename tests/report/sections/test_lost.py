"""Trainings that ended badly, and what a claim owes to those that were lost, by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bracket.domain import Outcome, Round, Trial, TrialResult
from bracket.report.sections.lost import _against, ends_of, sensitivity
from bracket.report.summary import Pair, Ranked, Summary
from bracket.stats import config_claim, decide
from bracket.stats.duel.verdict import Verdict

SEEDS = (1, 2, 3, 4, 5, 6)
BOTH = ("winner", "baseline")


def _summary(*ended: tuple[str, int, Outcome]) -> Summary:
    """What a summary holds of a duel's trainings: by whose they are, of which seed, and how they ended."""
    configs: dict[str, dict[str, Any]] = {"winner": {"lr": 2}, "baseline": {"lr": 1}, "runner_up": {"lr": 3}}
    ranked = {}
    for side, config in configs.items():
        results = tuple(_result(side, config, seed, outcome) for name, seed, outcome in ended if name == side)
        ranked[side] = Ranked(config, side, side, results, 0.5)
    plan = {"training_seeds": SEEDS, "pictures": [], "alpha": 0.05, "edition": 3}
    told = {"winner": ranked["winner"], "baseline_config": {"lr": 1}, "runner_up": ranked["runner_up"], "plan": plan}
    return cast(Summary, SimpleNamespace(rounds={Round.CONFIRMATION: tuple(ranked.values())}, **told))


def _result(side: str, config: dict[str, Any], seed: int, outcome: Outcome) -> TrialResult:
    return TrialResult(Trial(f"{side}-{seed}", Round.CONFIRMATION, side, config, seed, 1, Path(side)), outcome)


def _verdict(pairs: list[Pair]) -> Verdict:
    return decide("w", "b", config=config_claim([p.difference for p in pairs]))


def test_how_trainings_ended_is_told_of_either_side_and_of_these_pairs_alone() -> None:
    pairs = [Pair(1, 0.0, 0.4), Pair(2, 0.6, 0.4), Pair(3, 0.0, 0.4)]
    summary = _summary(
        *(("winner", 1, Outcome.DIVERGED), ("winner", 2, Outcome.OK), ("winner", 3, Outcome.DIVERGED)),
        *(("baseline", 1, Outcome.OK), ("baseline", 3, Outcome.CRASHED), ("runner_up", 2, Outcome.HUNG)),
        ("winner", 4, Outcome.OUT_OF_MEMORY),
    )
    assert ends_of(summary, pairs) == "winner: 2 of 3 melted; baseline: 1 of 3 crashed"
    assert ends_of(summary, pairs[:2]) == "winner: 1 of 2 melted; baseline: none of 2"
    assert ends_of(summary, pairs[1:2]) == "", "a runner-up is told elsewhere, and seed 4 is none of these"


@pytest.mark.parametrize(
    ("ours", "theirs", "last", "stands"),
    [
        # Ahead by 0.5 five times, and 0.4 behind where the baseline's lost one had been perfect: of 64 ways to flip,
        # only the two that flip the last or nothing are as good. 2/64 is within 0.05.
        (0.9, 0.4, Pair(6, 0.6, 0.0, lost=("baseline",)), True),
        # Ahead by 0.1 five times, one such pair outweighs four of them.
        (0.5, 0.4, Pair(6, 0.6, 0.0, lost=("baseline",)), False),
        # The winner's own counts as 0 already: nothing changes.
        (0.9, 0.4, Pair(6, 0.0, 0.4, lost=("winner",)), True),
        # Where both were lost the baseline may have been perfect and the winner nothing: -1 outweighs two of 0.5.
        (0.9, 0.4, Pair(6, 0.0, 0.0, lost=BOTH), False),
        # The baseline's claim owes the same the other way: the winner's lost one may have been perfect.
        (0.4, 0.5, Pair(6, 0.0, 0.6, lost=("winner",)), False),
        (0.4, 0.5, Pair(6, 0.0, 0.1, lost=("winner",)), False),
    ],
)
def test_whether_a_claim_stands_if_what_was_lost_had_counted_against_it(
    ours: float, theirs: float, last: Pair, stands: bool
) -> None:
    pairs = [*(Pair(seed, ours, theirs) for seed in SEEDS[:5]), last]
    verdict = _verdict(pairs)
    assert verdict.kind == ("config" if ours > theirs else "baseline_wins")
    said = sensitivity(_summary(), verdict, pairs)
    assert said.startswith("1 pair had a training that was lost, which counts as 0.")
    assert said.endswith("it holds still." if stands else "it no longer holds.")


def test_what_was_lost_counts_as_the_worst_there_is_for_the_side_that_claims() -> None:
    assert [_against(Pair(1, 0.6, 0.0, lost=("baseline",)), side) for side in (1, -1)] == [0.6 - 1.0, 0.6]
    assert [_against(Pair(1, 0.0, 0.0, lost=BOTH), side) for side in (1, -1)] == [-1.0, 1.0]
    assert _against(Pair(1, 0.5, 0.25, 0.0, lost=("runner_up",)), 1) == 0.25


def test_nothing_is_owed_where_nothing_was_lost_or_nothing_is_claimed() -> None:
    pairs = [Pair(seed, 0.9, 0.4) for seed in SEEDS]
    assert sensitivity(_summary(), _verdict(pairs), pairs) == ""
    even = [*(Pair(seed, 0.5, 0.4 + 0.2 * (seed % 2)) for seed in SEEDS[:5]), Pair(6, 0.6, 0.0, lost=("baseline",))]
    assert _verdict(even).about is None and sensitivity(_summary(), _verdict(even), even) == ""
