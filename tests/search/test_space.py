"""Spaces, clamping, and strategies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bracket.domain import Knob, Outcome, Round, Score, TrialResult, Wanted
from bracket.search.space import active, effective, random_config, varying, without_duplicates
from bracket.search.strategy import make_strategy, startup_trials
from bracket.session.store import Store

KNOBS = (
    Knob("learning_rate", "float", ("lr",), low=1e-5, high=1e-2, log=True),
    Knob("rank", "choice", ("rank",), choices=(4, 8, 16)),
    Knob("warmup", "int", ("warmup",), low=0, high=100),
)


def test_clamping_moves_every_value_into_its_range() -> None:
    assert effective({"learning_rate": 1.0, "rank": 10, "warmup": 7.6}, KNOBS) == {
        "learning_rate": 1e-2, "rank": 8, "warmup": 8,
    }  # fmt: skip
    words = (Knob("schedule", "choice", ("s",), choices=("cosine", "constant")),)
    assert effective({"schedule": "linear"}, words) == {"schedule": "cosine"}


def test_configs_that_clamping_made_equal_are_tried_once() -> None:
    kept = without_duplicates([("baseline", {"a": 1}), ("curated", {"a": 1}), ("curated", {"a": 2})])
    assert kept == [("baseline", {"a": 1}), ("curated", {"a": 2})]
    assert varying([{"a": 1, "b": 1}, {"a": 2, "b": 1}]) == {"a"}


def _strategy(name: str, configs: int = 8):  # type: ignore[no-untyped-def]
    base = {"learning_rate": 1e-4, "rank": 8, "warmup": 0}
    return make_strategy(
        name, knobs=KNOBS, baseline=base, curated=[{**base, "learning_rate": 1e-3}], configs=configs, seed=3
    )


@pytest.mark.parametrize("name", ["tpe", "random"])
class TestEveryStrategy:
    def test_the_baseline_opens(self, name: str) -> None:
        assert [o.origin for o in _strategy(name).openings()] == ["baseline", "curated"]
        assert [o.origin for o in _strategy(name, configs=1).openings()] == ["baseline"]

    def test_proposals_lie_in_the_space_and_do_not_depend_on_a_restart(self, name: str, tmp_path: Path) -> None:
        whole = _searched(tmp_path / "whole", name, restart=False)
        assert whole == _searched(tmp_path / "restarted", name, restart=True)
        for config in whole:
            assert effective(config, KNOBS) == config
        assert len({c["learning_rate"] for c in whole}) == len(whole), "no proposal repeats"


def _searched(folder: Path, name: str, *, restart: bool) -> list[dict[str, object]]:
    folder.mkdir()
    strategy, store, found = _strategy(name), Store(folder), []
    for number in range(8):
        trial = store.propose(strategy.sampler(number), KNOBS, origin=name, seed=0, steps=1)
        score = abs(float(trial.config["learning_rate"]) - 1e-3)
        store.finish(TrialResult(trial, Outcome.OK, score=Score(score, score, score)))
        found.append(dict(trial.config))
        if restart:
            store.close()
            store = Store(folder)
    assert [r.trial.config for r in store.results(Round.SEARCH)] == found
    store.close()
    return found


def test_startup_is_a_third_and_at_least_four() -> None:
    assert [startup_trials(n) for n in (1, 12, 13, 30)] == [4, 4, 5, 10]


CONDITIONAL = (
    Knob("optimizer", "choice", ("--optimizer_type",), choices=("adamw", "prodigy")),
    Knob(
        "learning_rate", "float", ("--learning_rate",), low=1e-5, high=1e-2, log=True,
        when={"optimizer": ("adamw",)}, otherwise=1.0,
    ),
    Knob("scheduler", "choice", ("--lr_scheduler",), choices=("constant", "cosine")),
    Knob("warmup", "int", ("--lr_warmup_steps",), low=0, high=100, when={"scheduler": ("cosine",)}),
    Knob("rank", "choice", ("--network_dim",), choices=(4, 8, 16)),
    Knob("alpha", "choice", ("--network_alpha",), choices=(4, 8, 16, 32), at_most={"rank": 2}),
)  # fmt: skip


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


def test_random_configs_hold_every_condition_and_reach_every_choice() -> None:
    rng = np.random.default_rng(0)
    drawn = [random_config(CONDITIONAL, rng) for _ in range(300)]
    for config in drawn:
        assert effective(config, CONDITIONAL) == config
        assert (config["optimizer"] == "prodigy") == (config["learning_rate"] == 1.0)
        assert ("warmup" in config) == (config["scheduler"] == "cosine")
        assert config["alpha"] <= 2 * config["rank"]
    assert {(c["optimizer"], c["scheduler"], c["rank"]) for c in drawn} >= {("prodigy", "cosine", 16)}
    assert len({c["alpha"] for c in drawn}) == 4


def test_the_ledger_takes_conditional_configs_and_proposes_them(tmp_path: Path) -> None:
    store = Store(tmp_path)
    base = {"optimizer": "prodigy", "learning_rate": 1.0, "scheduler": "constant", "rank": 4, "alpha": 8}
    begun = store.begin(Wanted(Round.SEARCH, "baseline", base, 0, 5, schedule=9), CONDITIONAL)
    store.finish(TrialResult(begun, Outcome.OK, score=Score(0.5, 0.5, 0.5)))
    strategy = make_strategy("tpe", knobs=CONDITIONAL, baseline=base, curated=[], configs=30, seed=1)
    for number in range(1, 30):
        trial = store.propose(strategy.sampler(number), CONDITIONAL, origin="tpe", seed=0, steps=5, schedule=9)
        assert effective(trial.config, CONDITIONAL) == trial.config and trial.schedule == 9
        store.finish(TrialResult(trial, Outcome.OK, score=Score(number / 99, 0.5, 0.5)))
    went_on = store.begin(Wanted(Round.FINALS, "finalist", base, 0, 9, continues=begun.id), CONDITIONAL)
    assert went_on.continues == begun.folder
    assert store.begun(Round.FINALS)[0].continues == begun.folder and store.begun(Round.SEARCH)[0].schedule == 9
    store.close()
