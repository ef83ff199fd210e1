"""Memory: ranks and weights by hand, what may be borrowed, and what the sampler makes of it."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bracket.domain import Config, Knob, Outcome, Round, Score, Trial, TrialResult
from bracket.search import memory
from bracket.search.memory import Borrowed, Data, Earlier, borrow, fits, lent, quantiles
from bracket.search.sampling import Proposer
from bracket.search.strategies.protocol import Strategy, make_strategy, rungs_of
from tests.benchmarks import bench_memory
from tests.search.simulated import CONDITIONAL, PLAIN, STEPS, TRAINING_SEED, Simulated, run

DATA = Data(20, 1024, "/wolf", "abc", "zorp", "wolf")
LEARNERS = ("tournament", "screen", "tpe", "hyperband", "asha")


def _plain(rate: float, rank: int = 8, warmup: int = 10) -> Config:
    return {"learning_rate": rate, "rank": rank, "warmup": warmup}


def _session(name: str = "wolf", n: int = 40, *, steps: int = 25, scale: float = 1.0, data: Data = DATA) -> Earlier:
    """Rates on a log grid, the best at 1e-3, those from 4e-3 on melted."""
    rates = [float(r) for r in np.geomspace(1.1e-5, 9e-3, n)]
    tried = [(_plain(r), None if r >= 4e-3 else scale * abs(math.log10(r) + 3)) for r in rates]
    return Earlier(name, steps, tuple(tried), data, "clip")


def _borrow(sessions: Sequence[Earlier], knobs: Sequence[Knob] = PLAIN, **changes: object) -> tuple[Borrowed, ...]:
    asked = {"steps": 25, "data": DATA, "judge": "clip", "seed": 0, **changes}
    return borrow(sessions, knobs, **asked)  # type: ignore[arg-type]


def test_places_by_hand() -> None:
    # Ranks 1, 2.5, 2.5 and 4 of four.
    assert quantiles([0.2, 0.1, 0.2, None]) == [0.5, 0.125, 0.5, 0.875]
    assert quantiles([None, None]) == [0.5, 0.5]
    assert quantiles([7.0]) == [0.5]
    assert quantiles([]) == []


def test_places_do_not_depend_on_the_scale_of_scores() -> None:
    scores = [0.3, 0.1, None, 0.2]
    assert quantiles(scores) == quantiles([None if s is None else 1000 * s - 7 for s in scores])


def test_likeness_of_data_by_hand() -> None:
    other = Data(40, 512, "/fox", "def", "", "Wolf")
    assert memory.likeness_of_data(DATA, DATA) == 1
    assert memory.likeness_of_data(DATA, other) == (0 + 20 / 40 + 512 / 1024 + 1) / 4, "the class word is the same"
    assert memory.likeness_of_data(DATA, replace(other, class_word="fox")) == (0 + 0.5 + 0.5 + 0) / 4
    assert memory.likeness_of_data(DATA, replace(DATA, pictures=25, digest="other")) == (0.5 + 0.8 + 1 + 1) / 4
    clips = Data(20, 0, "/clips", "x")
    assert memory.likeness_of_data(clips, replace(clips, digest="y", folder="/z")) == (0 + 1 + 1 + 0.5) / 4
    assert memory.likeness_of_data(clips, DATA) == (0 + 1 + 0.5 + 0) / 4
    assert memory.likeness_of_data(other, DATA) == memory.likeness_of_data(DATA, other)


def test_weight_by_hand() -> None:
    def weight(earlier: Earlier, **changes: object) -> float:
        return memory.weight(earlier, **{"steps": 25, "data": DATA, "judge": "clip", **changes})  # type: ignore[arg-type]

    assert weight(_session(n=12)) == 11 / 14
    assert weight(_session(n=4)) == 0.5
    assert weight(_session(n=1)) == 0, "one config alone ranks nothing"
    assert weight(_session(n=0)) == 0
    assert weight(_session(n=12), steps=100) == weight(_session(n=12, steps=100)) == 11 / 14 / 4
    assert weight(_session(n=12), judge="vlm") == 11 / 14 / 2
    far = replace(DATA, digest="d", folder="/fox", class_word="fox", trigger_word="f", pictures=40, edge=512)
    assert weight(_session(n=4), steps=50, judge="vlm", data=far) == 0.25 * 0.5 * 0.5 * 0.5


@pytest.mark.parametrize(
    ("config", "fit"),
    [
        (_plain(1e-3), True),
        (_plain(2e-2), False),
        (_plain(1e-3, rank=32), False),
        (_plain(1e-3, warmup=101), False),
        ({"learning_rate": 1e-3, "rank": 8}, False),
        ({**_plain(1e-3), "dropout": 0.1}, False),
        ({**_plain(1e-3), "learning_rate": "auto"}, False),
    ],
    ids=["fits", "above", "another choice", "beyond", "lacks a knob", "has a knob more", "another kind"],
)
def test_only_what_would_be_trained_the_same_is_borrowed(config: Config, fit: bool) -> None:
    assert fits(config, PLAIN) is fit
    others = tuple((_plain(rate), 1.0) for rate in np.geomspace(1e-5, 1e-4, 300))
    borrowed = _borrow([Earlier("wolf", 25, ((config, 0.0), *others), DATA, "clip")], limit=1000)
    assert (config in [b.config for b in borrowed]) is fit


def test_conditions_hold_for_what_is_borrowed() -> None:
    prodigy = {"optimizer": "prodigy", "learning_rate": 1.0, "scheduler": "constant", "rank": 4, "alpha": 8}
    assert fits(prodigy, CONDITIONAL)
    assert not fits({**prodigy, "learning_rate": 1e-3}, CONDITIONAL), "prodigy's rate is fixed"
    assert not fits({**prodigy, "warmup": 5}, CONDITIONAL), "a constant schedule has no warm-up here"
    assert not fits({**prodigy, "alpha": 16}, CONDITIONAL), "four times the rank"


def test_a_config_keeps_its_place_among_all_that_were_tried_with_it() -> None:
    """Those that do not fit are left out after the ranking: the best of what is left is not the best there was."""
    (low,) = [replace(k, high=1e-4) for k in PLAIN if k.name == "learning_rate"]
    borrowed = _borrow([_session(n=40)], (low, *PLAIN[1:]))
    assert borrowed and min(b.quantile for b in borrowed) > 0.4


def test_raw_scores_never_count() -> None:
    assert _borrow([_session(scale=1.0)]) == _borrow([_session(scale=50.0)])


def test_the_weight_is_the_share_that_is_kept() -> None:
    sessions = [_session(f"s{k}", 100) for k in range(20)]
    changed = [replace(s, tried=tuple(({**c, "warmup": k}, v) for c, v in s.tried)) for k, s in enumerate(sessions)]
    for judge, chance in (("clip", 99 / 102), ("vlm", 99 / 204)):
        kept = len(_borrow(changed, judge=judge, limit=10_000)) / 2000
        assert kept == pytest.approx(chance, abs=4 * math.sqrt(chance * (1 - chance) / 2000))


def test_draws_depend_on_the_seed_and_the_session_alone() -> None:
    both = [_session("wolf"), replace(_session("fox", 30), judge="vlm")]
    assert _borrow(both) == _borrow(both[::-1])
    assert {b.config["learning_rate"] for b in _borrow(both) if b.source == "wolf"} == {
        b.config["learning_rate"] for b in _borrow(both[:1])
    }
    assert _borrow(both, judge="vlm", seed=1) != _borrow(both, judge="vlm", seed=2)


def test_of_a_session_the_rung_that_counts_most_is_taken() -> None:
    short, long = _session(n=12, steps=25), replace(_session(n=12, steps=100), tried=_session(n=6).tried)
    assert {b.weight for b in _borrow([long, short], steps=25)} == {11 / 14}
    assert {b.weight for b in _borrow([long, short], steps=100)} == {5 / 8}


def test_the_same_trials_count_once() -> None:
    """A session that was judged again lends nothing where its first one does."""
    again = replace(_session("wolf-again"), judge="vlm")
    assert {b.source for b in _borrow([again, _session("wolf")])} == {"wolf"}
    assert {b.source for b in _borrow([again, _session("wolf")], judge="vlm")} == {"wolf-again"}


def test_no_more_than_the_limit() -> None:
    sessions = [_session(f"s{k}", 60 + k) for k in range(5)]
    assert len(_borrow(sessions)) == memory.LIMIT
    assert _borrow(sessions, limit=7) == _borrow(sessions)[:7]
    assert _borrow([]) == ()


def test_what_is_lent_goes_as_own_results_come() -> None:
    borrowed = _borrow([_session(n=40)])
    assert len(borrowed) > 12
    assert [len(lent(borrowed, own, 12)) for own in (0, 1, 5, 12, 30)] == [12, 11, 7, 0, 0]
    # 3, 3 · 8/12, 3 · 2/12 and 3 · 1/12, rounded.
    assert [len(lent(borrowed[:3], own, 12)) for own in (0, 4, 10, 11)] == [3, 2, 0, 0]
    assert [len(lent(borrowed * 9, own, 10_000)) for own in (0, 50, 100, 101)] == [100, 50, 0, 0]
    assert lent(borrowed, 4, 12) == borrowed[:8]


def _told(configs: Sequence[Config], scale: float = 1.0) -> list[TrialResult]:
    return [
        TrialResult(
            Trial(f"search-{n:03d}", Round.SEARCH, "tpe", config, 0, 25, Path()),
            Outcome.OK,
            score=Score(scale * abs(math.log10(float(config["learning_rate"])) + 3), 0.0, 0.0),
        )
        for n, config in enumerate(configs)
    ]


def _rates(borrowed: Sequence[Borrowed], seeds: int = 12) -> list[float]:
    """The logarithms of the first rates proposed after the baseline and one curated config, by many sessions."""
    told = _told([_plain(1e-4), _plain(2e-4)])
    made = [Proposer("tpe", PLAIN, seed=s, configs=12, borrowed=borrowed).next(2, told, []) for s in range(seeds)]
    return [math.log10(float(c["learning_rate"])) for c in made if c]


def test_the_estimator_begins_at_once_where_something_is_borrowed() -> None:
    away = [float(np.mean([abs(rate + 3) for rate in _rates(b)])) for b in ((), _borrow([_session(n=60)]))]
    assert away[1] < 0.85 * away[0]


def test_own_scores_count_by_their_places_beside_what_is_borrowed() -> None:
    borrowed, configs = _borrow([_session()]), [_plain(r) for r in (1e-4, 3e-3, 2e-5, 6e-4)]
    for scale in (1e-6, 1e6):
        made = Proposer("tpe", PLAIN, seed=3, configs=12, borrowed=borrowed)
        same = Proposer("tpe", PLAIN, seed=3, configs=12, borrowed=borrowed)
        assert made.next(4, _told(configs), []) == same.next(4, _told(configs, scale), [])


def test_in_the_end_nothing_of_the_memory_is_left() -> None:
    rng = random.Random(0)
    told = _told([_plain(10 ** rng.uniform(-5, -2), warmup=n) for n in range(12)])
    told[3] = replace(told[3], outcome=Outcome.DIVERGED, score=None)
    borrowed = _borrow([_session(n=60)])
    made = Proposer("tpe", PLAIN, seed=1, configs=12, borrowed=borrowed)
    without = Proposer("tpe", PLAIN, seed=1, configs=12)
    assert made.next(5, told[:5], []) != without.next(5, told[:5], [])
    assert made.next(12, told, []) == without.next(12, told, [])


def test_what_was_borrowed_may_be_proposed() -> None:
    knobs = (Knob("rank", "choice", ("r",), choices=(4, 8)),)
    borrowed = [Borrowed({"rank": r}, q, 1.0, "wolf") for r, q in ((4, 0.75), (8, 0.25))]
    assert Proposer("tpe", knobs, seed=0, configs=4, borrowed=borrowed).next(0, [], []) in ({"rank": 4}, {"rank": 8})


def _strategy(name: str, borrowed: Sequence[Borrowed], knobs: tuple[Knob, ...] = PLAIN) -> Strategy:
    rungs = rungs_of(name, configs=9, steps=STEPS, rounds=3, reduction=2.0, finalists=2)
    return make_strategy(
        name,
        rungs=rungs,
        knobs=knobs,
        baseline=_plain(1e-4),
        curated=[_plain(1e-4, rank=4)],
        seed=0,
        training_seed=TRAINING_SEED,
        borrowed=borrowed,
    )


def _mixed(trial: Trial, rng: np.random.Generator) -> Outcome:
    return Outcome(rng.choice([Outcome.OK, Outcome.OK, Outcome.DIVERGED, Outcome.CRASHED]))


@pytest.mark.parametrize(("name", "workers"), [("tournament", 1), *((name, 3) for name in LEARNERS)])
def test_a_strategy_keeps_its_promises_with_a_memory(name: str, workers: int) -> None:
    """`run` also asks twice; a restart proposes the same, the openings are as without, and no config comes twice."""
    make = partial(_strategy, name, _borrow([_session()]))
    begun = run(make, Simulated(), workers=workers, fate=_mixed, restart=True)
    assert begun == run(make, Simulated(), workers=workers, fate=_mixed)
    assert [(t.origin, t.config) for t in begun[:2]] == [
        ("baseline", _plain(1e-4)),
        ("curated", _plain(1e-4, rank=4)),
    ]
    first = [t.config for t in begun if t.rung == 0]
    assert len(first) == 9 and len({repr(c) for c in first}) == 9


def test_random_settings_take_no_notice() -> None:
    searches = [run(partial(_strategy, "random", b), Simulated()) for b in ((), _borrow([_session()]))]
    assert searches[0] == searches[1]


@pytest.mark.slow
def test_a_right_memory_helps_and_a_wrong_one_costs_little() -> None:
    """Means over sessions that share their noise; `tests.benchmarks.bench_memory` has the figures of many more."""
    regret = {
        kind: float(np.mean([bench_memory.one(kind, 12, 1, seed)[0] for seed in range(60)]))
        for kind in ("none", "same", "contrary")
    }
    assert regret["same"] < 0.9 * regret["none"]
    assert regret["contrary"] < 1.2 * regret["none"]
