from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from bracket.domain import Config, Knob, Outcome, Round, Score, Trial, TrialResult
from bracket.search.suggestion import Advice, Suggestion, suggest

LR = Knob("learning_rate", "float", low=1e-5, high=1e-1, log=True)
RANK = Knob("rank", "choice", choices=(2, 4, 8, 16))
DROPOUT = Knob("dropout", "float", low=0.0, high=0.5)
KNOBS = (LR, RANK, DROPOUT)


def _search(
    n: int, score: Callable[[float, int], float], *, knobs: Sequence[Knob] = KNOBS, melts: float = 1.0,
    noise: float = 0.01, seed: int = 0,
) -> list[TrialResult]:  # fmt: skip
    """A random search; the dropout does nothing, and trials melt above a learning rate."""
    rng = np.random.default_rng(seed)
    results = []
    for i in range(n):
        low, high = (np.log(float(end or 0)) for end in (knobs[0].low, knobs[0].high))
        config: Config = {
            "learning_rate": float(np.exp(rng.uniform(low, high))),
            "rank": int(rng.choice([int(c) for c in knobs[1].choices])),
            "dropout": float(rng.uniform(0, 0.5)),
        }
        rate, rank = float(config["learning_rate"]), int(config["rank"])
        trial = Trial(f"search-{i:03d}", Round.SEARCH, "tpe" if i else "baseline", config, 1, 100, Path("none"))
        if rate > melts:
            results.append(TrialResult(trial, Outcome.DIVERGED))
            continue
        total = score(np.log10(rate), rank) + float(rng.normal(0, noise))
        results.append(TrialResult(trial, Outcome.OK, score=Score(total, 0.5, total)))
    return results


def _of(suggestion: Suggestion, knob: str) -> Advice:
    return next(advice for advice in suggestion.knobs if advice.knob == knob)


def test_it_looks_closer_at_where_the_best_lies() -> None:
    found = suggest(KNOBS, _search(30, lambda lr, rank: 0.3 + 0.1 * (lr + 3) ** 2))
    lr = _of(found, "learning_rate")
    assert lr.change == "narrowed" and lr.low is not None and lr.high is not None
    assert 1e-4 <= lr.low < 1e-3 < lr.high <= 1e-2
    assert "nine of ten readings" in lr.reason
    assert found.bounds()["learning_rate"] == {"low": lr.low, "high": lr.high}
    assert (found.trials, found.steps, found.note) == (30, 100, "")
    assert json.loads(json.dumps(found.as_dict()))["bounds"] == found.bounds()


def test_a_best_at_the_end_asks_for_a_wider_range() -> None:
    up = _of(suggest(KNOBS, _search(24, lambda lr, rank: 0.5 - 0.1 * lr)), "learning_rate")
    assert up.change == "widened" and up.high is not None and up.low is not None
    # A third of four decades beyond 1e-1, rounded up to one digit: 10 ** (1 / 3) = 2.15.
    assert up.high == 3.0 and up.low > 1e-3
    assert up.reason == "The best learning rate lies at the upper end of its range: widened to 3."
    down = _of(suggest(KNOBS, _search(24, lambda lr, rank: 0.5 + 0.1 * lr)), "learning_rate")
    assert down.change == "widened" and down.low == 4e-7  # 1e-5 / 10 ** (4 / 3), rounded down


def test_a_range_that_melts_ends_at_its_knee() -> None:
    results = _search(30, lambda lr, rank: 0.5 - 0.05 * lr, melts=5e-3)
    first_melted = min(float(r.trial.config["learning_rate"]) for r in results if r.score is None)
    lr = _of(suggest(KNOBS, results), "learning_rate")
    assert lr.change == "narrowed" and lr.high is not None
    assert first_melted <= lr.high == pytest.approx(first_melted, rel=0.1)
    assert "half of the trials or more melt" in lr.reason


def test_a_knee_ends_the_range_also_of_a_knob_that_is_else_unclear() -> None:
    lr = _of(suggest(KNOBS, _search(30, lambda lr, rank: 0.5, melts=2e-2, noise=0.1)), "learning_rate")
    assert (lr.change, lr.low) == ("narrowed", 1e-5) and lr.high is not None and 2e-2 < lr.high < 5e-2


def test_a_range_is_never_made_shorter_than_a_fifth() -> None:
    lr = _of(suggest(KNOBS, _search(40, lambda lr, rank: (lr + 3) ** 2, noise=0.0)), "learning_rate")
    assert lr.low is not None and lr.high is not None
    # A fifth of four decades.
    assert 10**0.79 <= lr.high / lr.low <= 10**0.9 and lr.low < 1e-3 < lr.high


def test_a_choice_that_is_never_best_goes_and_one_at_the_end_brings_the_next() -> None:
    def score(lr: float, rank: int) -> float:
        return 0.6 - 0.1 * float(np.log2(rank))

    rank = _of(suggest(KNOBS, _search(40, score)), "rank")
    assert rank.change == "narrowed" and 16 in rank.choices and 2 not in rank.choices
    whole = (Knob("rank", "choice", choices=(2, 4, 8, 16, 32, 64)),)
    wider = _of(suggest(KNOBS, _search(40, score), whole=whole), "rank")
    assert wider.change == "widened" and wider.choices[-1] == 32 and 2 not in wider.choices
    assert wider.reason == "The best rank lies at the end of its choices: 32 joins them."


def test_a_knob_that_hardly_matters_is_fixed_only_by_many_trials() -> None:
    results = _search(90, lambda lr, rank: 0.3 + 0.1 * (lr + 3) ** 2)
    dropout = _of(suggest(KNOBS, results), "dropout")
    assert dropout.change == "fixed"
    assert dropout.low == dropout.high == results[0].trial.config["dropout"], "the baseline's own"
    assert _of(suggest(KNOBS, results[:14]), "dropout").change == "kept"


def test_noise_changes_nothing() -> None:
    changed = [
        len(suggest(KNOBS, _search(14, lambda lr, rank: 0.5, noise=0.1, seed=seed)).bounds()) for seed in range(4)
    ]
    assert sum(changed) <= 1


def test_too_few_trials_have_no_advice() -> None:
    found = suggest(KNOBS, _search(7, lambda lr, rank: 0.5))
    assert found.knobs == () and found.bounds() == {}
    assert found.note == "A new space takes 8 scored configs of one length; this search has 7."
    assert suggest(KNOBS, []).note.endswith("this search has 0.")


def test_knobs_with_conditions_and_switches_do_no_harm() -> None:
    momentum = Knob("momentum", "float", low=0.0, high=0.99, when={"optimizer": ("sgd",)})
    knobs = (LR, Knob("optimizer", "choice", choices=("adamw", "sgd")), momentum)
    results = []
    for i, old in enumerate(_search(24, lambda lr, rank: 0.3 + 0.1 * (lr + 3) ** 2)):
        config: Config = {"learning_rate": old.trial.config["learning_rate"], "optimizer": ("adamw", "sgd")[i % 2]}
        config = {**config, "momentum": 0.04 * i} if i % 2 else config
        trial = Trial(old.trial.id, Round.SEARCH, "tpe", config, 1, 100, Path("none"))
        results.append(TrialResult(trial, Outcome.OK, score=old.score))
    found = suggest(knobs, results)
    assert [a.knob for a in found.knobs] == ["learning_rate", "optimizer", "momentum"]
    assert _of(found, "learning_rate").change == "narrowed"
