"""Searches whose answer is known, as summaries without pictures or curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bracket.domain import Config, Knob, Outcome, Round, Score, Trial, TrialResult
from bracket.report.summary import Ranked, Summary
from bracket.stats.duel.verdict import decide

LR = Knob("learning_rate", "float", low=1e-5, high=1e-1, log=True)
RANK = Knob("rank", "choice", choices=(2, 4, 8, 16))
Rule = Callable[[float, int], float | None]
"""Score of a learning rate and rank; None melts."""


def results_of(
    configs: Sequence[tuple[float, int]], rule: Rule, *, steps: int = 100, loss: Rule | None = None, first: int = 0
) -> list[TrialResult]:
    """One ended trial a config; the first is the baseline. The judged part is the score."""
    results = []
    for i, (rate, rank) in enumerate(configs):
        config: Config = {"learning_rate": rate, "rank": rank}
        origin = "baseline" if i == 0 else "tpe"
        trial = Trial(f"search-{first + i:03d}", Round.SEARCH, origin, config, 1, steps, Path("none"))
        total = rule(rate, rank)
        if total is None:
            results.append(TrialResult(trial, Outcome.DIVERGED, "the loss became NaN"))
            continue
        held_out = loss(rate, rank) if loss else None
        score = Score(total, 0.5, total)
        results.append(TrialResult(trial, Outcome.OK, score=score, validation_loss=held_out))
    return results


def summary_of(results: Sequence[TrialResult], knobs: Sequence[Knob] = (LR, RANK), **changes: Any) -> Summary:
    """A session that ended after its search."""
    ranked = tuple(
        Ranked(r.trial.config, r.trial.id, r.trial.origin, (r,), r.score.total if r.score else None) for r in results
    )
    baseline = results[0].trial.config if results else {}
    given: dict[str, Any] = {
        "name": "made", "folder": Path("none"), "fingerprint": "0" * 16, "preset_name": "none", "preset_title": "None",
        "settings": {}, "knobs": tuple(knobs), "baseline_config": baseline,
        "rounds": {Round.SEARCH: ranked} if ranked else {}, "verdict": decide("none", "baseline"), "prompts": (),
        "verdict_prompts": (), "searched": tuple(results),
    }  # fmt: skip
    return Summary(**{**given, **changes})
