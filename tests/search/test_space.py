"""Spaces: clamping, conditions, chance."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from bracket.domain import Knob, Outcome, Round, Score, TrialResult, Wanted
from bracket.search.sampling import startup_trials
from bracket.search.space import active, drawn, effective, random_config, varying, without_duplicates
from bracket.session.store import Store
from tests.search.simulated import CONDITIONAL, PLAIN


def test_clamping_moves_every_value_into_its_range() -> None:
    assert effective({"learning_rate": 1.0, "rank": 10, "warmup": 7.6}, PLAIN) == {
        "learning_rate": 1e-2, "rank": 8, "warmup": 8,
    }  # fmt: skip
    words = (Knob("schedule", "choice", ("s",), choices=("cosine", "constant")),)
    assert effective({"schedule": "linear"}, words) == {"schedule": "cosine"}


def test_configs_that_clamping_made_equal_are_tried_once() -> None:
    kept = without_duplicates([("baseline", {"a": 1}), ("curated", {"a": 1}), ("curated", {"a": 2})])
    assert kept == [("baseline", {"a": 1}), ("curated", {"a": 2})]
    assert varying([{"a": 1, "b": 1}, {"a": 2, "b": 1}]) == {"a"}


def test_startup_is_a_third_and_at_least_four() -> None:
    assert [startup_trials(n) for n in (1, 12, 13, 30)] == [4, 4, 5, 10]


def test_a_knob_whose_conditions_fail_has_its_fixed_value_or_none() -> None:
    asked = {
        "optimizer": "prodigy",
        "learning_rate": 1e-4,
        "scheduler": "constant",
        "warmup": 50,
        "rank": 4,
        "alpha": 32,
    }
    assert effective(asked, CONDITIONAL) == {
        "optimizer": "prodigy", "learning_rate": 1.0, "scheduler": "constant", "rank": 4, "alpha": 8,
    }  # fmt: skip
    assert [k.name for k in active(CONDITIONAL, effective(asked, CONDITIONAL))] == [
        "optimizer", "scheduler", "rank", "alpha",
    ]  # fmt: skip


def test_of_two_limits_the_tighter_one_holds() -> None:
    alpha = Knob("alpha", "int", ("a",), low=1, high=64, at_most={"rank": 2.0, "dim": 1.0})
    knobs = (*(Knob(n, "int", (n,), low=1, high=64) for n in ("rank", "dim")), alpha)
    for rank, dim, most in ((4, 32, 8), (32, 4, 4), (64, 64, 64)):
        assert effective({"rank": rank, "dim": dim, "alpha": 64}, knobs)["alpha"] == most


def test_random_configs_hold_every_condition_and_reach_every_choice() -> None:
    rng = np.random.default_rng(0)
    found = [random_config(CONDITIONAL, rng) for _ in range(300)]
    for config in found:
        assert effective(config, CONDITIONAL) == config
        assert (config["optimizer"] == "prodigy") == (config["learning_rate"] == 1.0)
        assert ("warmup" in config) == (config["scheduler"] == "cosine")
        assert config["alpha"] <= 2 * config["rank"]
    assert {(c["optimizer"], c["scheduler"], c["rank"]) for c in found} >= {("prodigy", "cosine", 16)}
    assert len({c["alpha"] for c in found}) == 4


def test_chance_gives_every_knob_a_value_on_its_own_scale() -> None:
    rng = np.random.default_rng(0)
    found = [drawn(CONDITIONAL, rng) for _ in range(400)]
    assert all(set(values) == {k.name for k in CONDITIONAL} for values in found), "also those that do not count"
    # Log-uniform between 1e-5 and 1e-2: half lie below 10**-3.5, give or take 2.5 % twice.
    assert 0.4 < np.mean([math.log10(values["learning_rate"]) < -3.5 for values in found]) < 0.6
    assert {type(values["warmup"]) for values in found} == {int}


def test_the_ledger_keeps_conditional_configs_and_what_continues_what(tmp_path: Path) -> None:
    store = Store(tmp_path)
    base = {"optimizer": "prodigy", "learning_rate": 1.0, "scheduler": "constant", "rank": 4, "alpha": 8}
    begun = store.begin(Wanted(Round.SEARCH, "baseline", base, 0, 5, schedule=9), CONDITIONAL)
    store.finish(TrialResult(begun, Outcome.OK, score=Score(0.5, 0.5, 0.5)))
    went_on = store.begin(Wanted(Round.FINALS, "finalist", base, 0, 9, continues=begun.id), CONDITIONAL)
    assert went_on.continues == begun.folder
    (kept,), (first,) = store.begun(Round.FINALS), store.begun(Round.SEARCH)
    assert kept.continues == begun.folder and first.schedule == 9 and first.config == base
    store.close()
