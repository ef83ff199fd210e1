"""Every strategy holds what `Strategy.propose` promises, whatever becomes of its trials."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bracket.domain import Knob, Outcome, Round, Trial, TrialResult
from bracket.search import surrogate
from bracket.search.rungs import key
from bracket.search.space import effective
from bracket.search.strategies.protocol import NAMES, Strategy
from bracket.session.store import Store
from tests.search.simulated import (
    CONDITIONAL,
    FINITE,
    PLAIN,
    SINGLE,
    STEPS,
    TRAINING_SEED,
    Fate,
    Simulated,
    ended,
    run,
    strategy,
    well,
)

WORKERS = pytest.mark.parametrize("workers", [1, 4])
EVERY = pytest.mark.parametrize("name", NAMES)


def _all(outcome: Outcome) -> Fate:
    return lambda trial, rng: outcome


def _baseline_fails(trial: Trial, rng: np.random.Generator) -> Outcome:
    return Outcome.CRASHED if trial.origin == "baseline" else Outcome.OK


def _mixed(trial: Trial, rng: np.random.Generator) -> Outcome:
    return Outcome(rng.choice([Outcome.OK, Outcome.OK, Outcome.DIVERGED, Outcome.CRASHED, Outcome.NO_SAMPLES]))


FATES: dict[str, Fate] = {
    "well": well,
    "crashed": _all(Outcome.CRASHED),
    "diverged": _all(Outcome.DIVERGED),
    "no baseline": _baseline_fails,
    "mixed": _mixed,
}


def check(trials: list[Trial], knobs: tuple[Knob, ...], made: Strategy) -> None:
    """What holds of any search, whole or not."""
    assert trials[0].origin == "baseline" and trials[0].rung == 0
    assert sum(t.rung == 0 for t in trials) <= made.rungs[0].configs
    for rung, planned in enumerate(made.rungs):
        here = [t for t in trials if t.rung == rung]
        assert all(t.origin != "baseline" for t in here[1:]), "the baseline is first where it takes part, and once"
        assert len({key(t.config) for t in here}) == len(here), "no config twice"
        assert {t.steps for t in here} <= {planned.steps}
    assert max(t.rung for t in trials) < len(made.rungs) and made.rungs[-1].steps <= STEPS
    assert {t.seed for t in trials} == {TRAINING_SEED} and {t.round for t in trials} == {Round.SEARCH}
    assert {t.origin for t in trials} <= {"baseline", "curated", made.name}
    by_id = {t.id: t for t in trials}
    for trial in trials:
        assert effective(trial.config, knobs) == trial.config, "every value in its range, every condition held"
        assert (trial.continues is None) == (trial.rung == 0)
        if trial.continues:
            earlier = by_id[trial.continues.name]
            assert earlier.config == trial.config and earlier.rung == trial.rung - 1
            assert earlier.origin == trial.origin and earlier.steps < trial.steps


@EVERY
@WORKERS
@pytest.mark.parametrize("fate", FATES)
def test_it_keeps_its_promises_and_ends(name: str, workers: int, fate: str) -> None:
    ledger = Simulated()
    begun = run(partial(strategy, name), ledger, workers=workers, fate=FATES[fate], order=workers)
    check(begun, PLAIN, strategy(name))
    first = [t for t in begun if t.rung == 0]
    assert len(first) == 9, "every config it planned is tried, whatever became of the others"
    scored = {r.trial.id for r in ledger.results(Round.SEARCH) if r.score}
    assert all(t.continues.name in scored for t in begun if t.continues), "only what was scored trains on"
    if fate in ("crashed", "diverged"):
        assert len(begun) == len(first)


@EVERY
@WORKERS
@pytest.mark.parametrize("knobs", [CONDITIONAL, FINITE], ids=["conditional", "finite"])
def test_it_keeps_its_promises_in_every_space(name: str, workers: int, knobs: tuple[Knob, ...]) -> None:
    begun = run(partial(strategy, name, knobs), Simulated(), knobs, workers=workers)
    check(begun, knobs, strategy(name, knobs))
    assert len([t for t in begun if t.rung == 0]) == (9 if knobs is CONDITIONAL else 4), "a space of four has four"


@EVERY
@pytest.mark.parametrize("knobs", [PLAIN, CONDITIONAL], ids=["plain", "conditional"])
def test_a_restart_at_any_point_proposes_the_same(name: str, knobs: tuple[Knob, ...]) -> None:
    begin: Callable[..., list[Trial]] = partial(
        run, partial(strategy, name, knobs), knobs=knobs, fate=_mixed, workers=3
    )
    assert begin(ledger=Simulated(), restart=True) == begin(ledger=Simulated(), restart=False)


@EVERY
def test_its_proposals_depend_on_its_seed_alone(name: str) -> None:
    searches = [[t.config for t in run(partial(strategy, name, seed=seed), Simulated())] for seed in (0, 0, 1)]
    assert searches[0] == searches[1] != searches[2]


@EVERY
@WORKERS
def test_a_space_of_one_config_ends_after_the_baseline(name: str, workers: int) -> None:
    begun = run(partial(strategy, name, SINGLE), Simulated(), SINGLE, workers=workers)
    assert [(t.origin, t.rung) for t in begun] == [("baseline", 0)]


@EVERY
@pytest.mark.parametrize("configs", [1, 2])
def test_a_search_of_one_or_two_configs_ends(name: str, configs: int) -> None:
    begun = run(partial(strategy, name, configs=configs), Simulated())
    check(begun, PLAIN, strategy(name, configs=configs))
    assert len([t for t in begun if t.rung == 0]) == configs


@EVERY
def test_it_waits_only_while_something_runs(name: str) -> None:
    """`run` ends at the first empty answer with nothing open; here the answers themselves are looked at."""
    ledger, made, rng = Simulated(), strategy(name), np.random.default_rng(5)
    for _ in range(200):
        open_ = ledger.open_trials(Round.SEARCH)
        wanted = made.propose(ledger.results(Round.SEARCH), open_, 2)
        if not wanted and not open_:
            break
        for one in wanted[: 3 - len(open_)]:
            ledger.begin(one, PLAIN)
        running = ledger.open_trials(Round.SEARCH)
        trial = running[int(rng.integers(len(running)))]
        ledger.finish(ended(trial, _mixed(trial, rng)))
    else:
        pytest.fail("the search never ends")
    assert made.propose(ledger.results(Round.SEARCH), [], 8) == [], "over is over"


@EVERY
def test_the_real_ledger_sees_the_same_search(name: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    kept = run(partial(strategy, name, CONDITIONAL), store, CONDITIONAL, workers=2, fate=_mixed)
    thought = run(partial(strategy, name, CONDITIONAL), Simulated(), CONDITIONAL, workers=2, fate=_mixed)
    assert [(t.id, t.config, t.steps, t.origin) for t in kept] == [(t.id, t.config, t.steps, t.origin) for t in thought]
    check(kept, CONDITIONAL, strategy(name, CONDITIONAL))
    store.close()
    again = Store(tmp_path)
    results: list[TrialResult] = again.results(Round.SEARCH)
    assert strategy(name, CONDITIONAL).propose(results, again.open_trials(Round.SEARCH), 4) == []
    again.close()


@pytest.mark.slow
@EVERY
def test_hundreds_of_configs_are_proposed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = 250 if name in ("hyperband", "asha") else 500  # Optuna's pruners read all earlier trials at every step
    monkeypatch.setattr(surrogate, "MOST", 24)  # the process is slow, and what comes after it is most of this search
    begun = run(partial(strategy, name, configs=configs), Simulated(), workers=8, fate=_mixed)
    check(begun, PLAIN, strategy(name, configs=configs))
    assert len([t for t in begun if t.rung == 0]) == configs
