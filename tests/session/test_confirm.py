"""The duel's arithmetic, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bracket.domain import Judgement, Outcome, Prompt, Round, Sample, Score, Trial, TrialResult
from bracket.report.summary import Pair
from bracket.session.confirm import pairs_of, score_matrix
from bracket.session.evaluate import keep_judgements


def _judged(folder: Path, prompt: str, seed: int, score: float) -> Judgement:
    return Judgement(Sample(folder / f"{prompt}-{seed}.png", prompt, seed, 1), "j", score, {})


def _ended(folder: Path, origin: str, seed: int, *scores: float, outcome: Outcome = Outcome.OK) -> TrialResult:
    trial = Trial(f"{origin}-{seed}", Round.CONFIRMATION, origin, {"lr": 1}, seed, 1, folder / f"{origin}-{seed}")
    keep_judgements(trial.folder, [_judged(trial.folder, "p", i, s) for i, s in enumerate(scores)])
    return TrialResult(trial, outcome, score=Score(0.5, 0.5, 0.5) if scores else None)


def test_a_pair_holds_each_arms_mean(tmp_path: Path) -> None:
    results = [_ended(tmp_path, "baseline", 7, 0.2, 0.4), _ended(tmp_path, "winner", 7, 0.5, 0.9)]
    (pair,) = pairs_of(results)
    assert (pair.seed, round(pair.winner, 9), round(pair.baseline, 9)) == (7, 0.7, 0.3)


def test_an_arm_that_melted_counts_as_the_worst(tmp_path: Path) -> None:
    melted = _ended(tmp_path, "winner", 7, outcome=Outcome.DIVERGED)
    assert pairs_of([_ended(tmp_path, "baseline", 7, 0.4), melted]) == (Pair(7, 0.0, 0.4),)


def test_a_crash_leaves_its_seed_out(tmp_path: Path) -> None:
    crashed = _ended(tmp_path, "winner", 7, outcome=Outcome.CRASHED)
    assert pairs_of([_ended(tmp_path, "baseline", 7, 0.4), crashed]) == ()


def test_scores_are_laid_out_by_prompt_and_seed_in_the_prompts_order(tmp_path: Path) -> None:
    prompts = [Prompt("b", 1), Prompt("b", 2), Prompt("a", 3), Prompt("a", 4)]
    judged = [_judged(tmp_path, p.text, p.seed, p.seed / 10) for p in reversed(prompts)]
    assert np.array_equal(score_matrix(judged, prompts), [[0.1, 0.2], [0.3, 0.4]])
