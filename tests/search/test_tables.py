"""The benchmarks' recorded tables: which config a proposal becomes, other worlds of a table, sessions that add up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from optuna.samplers import BaseSampler, RandomSampler

from bracket.domain import Config, Knob, Outcome, Round, Wanted
from bracket.search.rungs import Rung, key
from bracket.search.space import effective
from bracket.session.asked.settings import ScoreSettings
from tests.benchmarks.bench_search import USUAL, Job, Method, fits, jobs, method, paired, remembered
from tests.benchmarks.tabular import make, play, rivals
from tests.benchmarks.tabular.flows import Ended, search
from tests.benchmarks.tabular.grid import CONCEPTS, EASY, HARD, PLANS, Plan, Point, points, spread
from tests.benchmarks.tabular.play import Kept, graded, shortfalls
from tests.benchmarks.tabular.rivals import OptunaGP
from tests.benchmarks.tabular.table import (
    PROMPTS,
    Simulator,
    Table,
    edge,
    load,
    made,
    misleading,
    pack,
    read,
    usual,
)

RATE = Knob("learning_rate", "float", ("lr",), low=1e-4, high=1e-1, log=True)
RANK = Knob("rank", "choice", ("rank",), choices=(2, 8))


def config(rate: float, rank: int = 2) -> Config:
    return {"learning_rate": rate, "rank": rank}


SMALL = Plan(
    "small", (RATE, RANK), config(1e-4), (config(1e-4), config(1e-3), config(1e-2), config(1e-1)), (2, 8),
    seeds=2, pictures=3, alone=True,
)  # fmt: skip


def table(truth: tuple[float, ...] = (0.2, 0.5, 0.8, 0.4), plan: Plan = SMALL) -> Table:
    """Two seeds, whose pictures are as good as their truth and whose loss is one minus it, at every length."""
    whole = (2, len(truth), 2)
    score = np.broadcast_to(np.array(truth, np.float32)[None, :, None, None], (*whole, PROMPTS)).copy()
    loss = np.broadcast_to(1 - np.array(truth, np.float32)[None, :, None], whole).copy()
    return Table(plan, score, score.copy(), loss, np.ones(whole[:2], np.float32))


def test_the_nearest_is_by_the_ranges_length_times_reach() -> None:
    # A third of the range is a decade; 10^-2.4 lies 0.2 of it from 1e-3 and 0.13 from 1e-2.
    assert SMALL.nearest(config(10**-2.4)) == 2
    assert SMALL.nearest(config(10**-2.4), {2}) == 1
    assert SMALL.nearest(config(1e-3, rank=8)) == 1
    ranks = replace(SMALL, configs=(config(1e-3, 2), config(1e-2, 8)))
    # Rank 8 is the whole range away, the rate a third of it, or at three times the reach as far: then the first.
    assert ranks.nearest(config(1e-3, 8)) == 1
    assert replace(ranks, reach={"learning_rate": 3.1}).nearest(config(1e-3, 8)) == 0


def wanted(rate: float, steps: int = 2, origin: str = "tpe") -> Wanted:
    return Wanted(Round.SEARCH, origin, config(rate), 0, steps)


def test_a_session_has_every_recorded_config_once_and_is_told_which() -> None:
    sim = Simulator(table(), {0: 0}, ScoreSettings())
    told = sim.run([wanted(1e-4, origin="baseline"), wanted(9e-3), wanted(8e-3), wanted(1e-2)])
    assert [r.trial.config["learning_rate"] for r in told] == [1e-4, 1e-2, 1e-3, 1e-2]
    assert [round(1 - r.score.sample_part, 6) for r in told if r.score] == [0.2, 0.8, 0.5, 0.8]
    assert sim.steps == 8


def test_on_a_full_grid_a_proposal_stays_what_it_is() -> None:
    sim = Simulator(table(plan=replace(SMALL, alone=False)), {0: 0}, ScoreSettings())
    told = sim.run([wanted(1e-4, origin="baseline"), wanted(9e-3), wanted(8e-3)])
    assert [r.trial.config["learning_rate"] for r in told] == [1e-4, 9e-3, 8e-3]
    assert [round(1 - r.score.sample_part, 6) for r in told if r.score] == [0.2, 0.8, 0.8]


def test_where_the_best_lies_at_the_edge_nothing_lies_beyond_it() -> None:
    cut = edge(table())
    assert [c["learning_rate"] for c in cut.plan.configs] == [1e-4, 1e-3, 1e-2]
    assert (cut.plan.knobs[0].high, cut.best, cut.score.shape) == (1e-2, 2, (2, 3, 2, PROMPTS))


def test_where_the_usual_settings_are_best_the_baseline_is_named() -> None:
    world = usual(table())
    assert world.plan.baseline == config(1e-2)
    ended = search("screen", [Rung(3, 2)], 1)(world, 0)
    assert ended.config == config(1e-2)
    # Three of 2 steps, the baseline and the best other one trained on to 8.
    assert ended.steps == 3 * 2 + 2 * 6


def test_the_loss_misleads_among_the_good_half_alone() -> None:
    world = misleading(table())
    np.testing.assert_allclose(world.loss[0, :, 0], [0.8, 0.2, 0.5, 0.6], atol=1e-6)


def test_most_configs_with_all_of_the_usual_seeds_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = replace(SMALL, seeds=3)
    rung = {"loss": 0.5, "score": [0.25] * PROMPTS, "truth": [0.5] * PROMPTS}
    rows = [
        {"name": "", "concept": CONCEPTS[0], "seed": s, "number": n, "config": dict(plan.configs[n])}
        | {"rungs": [{**rung, "steps": steps} for steps in plan.ladder]}
        for s, n in [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (2, 0)]
    ]
    path = tmp_path / "small.npz"
    assert pack(plan, rows[:3], path).startswith("3 of 24 trainings")
    read.cache_clear()
    assert pack(plan, rows[3:], path).startswith("6 of 24 trainings")
    monkeypatch.setattr("tests.benchmarks.tabular.table.data_file", lambda _: path)
    read.cache_clear()
    assert made(plan, Point(CONCEPTS[0], 1, 1)) and not made(plan, Point(CONCEPTS[0], 1, 2))
    held = load(plan, CONCEPTS[0])
    # The third seed has one config of four, the first three; the third config lacks a seed.
    assert (held.seeds, held.plan.configs) == (2, plan.configs[:2])
    assert held.final.tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match="another plan"):
        pack(plan, [{**rows[0], "config": {"rank": 2}}], path)


def test_the_recorder_goes_on_where_it_was_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Desk:
        def __init__(self, *_: object) -> None:
            pass

        def look(self, point: Point) -> list[dict[str, object]]:
            return [{"steps": 2, "loss": 0.5, "score": [], "truth": []}]

    monkeypatch.setattr(make, "Desk", Desk)
    make.work(SMALL, tmp_path, 0, 2)
    first = make.rows(tmp_path)
    # Half of 2 concepts, 4 configs, 2 seeds: with two workers every second point, so the first seed's.
    assert [(r["concept"], r["seed"], r["number"]) for r in first[:2]] == [("crescent", 0, 0), ("crescent", 0, 1)]
    make.work(SMALL, tmp_path, 0, 2)
    assert (len(first), make.rows(tmp_path)) == (8, first)
    make.work(SMALL, tmp_path, 0, 1)
    assert sorted(r["name"] for r in make.rows(tmp_path)) == sorted(p.name for p in points(SMALL))


def test_a_spread_of_one_knob_is_sobols_shifted() -> None:
    share = Knob("share", "float", ("s",), low=0.0, high=1.0)
    close = replace(share, low=0.5)
    found = [float(c["share"]) for c in spread(4, [share], [close])]
    # Sobol's 0, 0.5, 0.75, 0.25: by a third further, and by 0.6 further in the upper half of the range.
    assert found[::2] == pytest.approx([0.333, 0.833, 0.083, 0.583], abs=1e-3)
    assert found[1::2] == pytest.approx([0.8, 0.55, 0.675, 0.925], abs=1e-3)
    assert spread(3, [share], [close]) == spread(4, [share], [close])[:6]


def test_every_plan_lists_each_training_once() -> None:
    for plan in PLANS.values():
        names = [p.name for p in points(plan)]
        assert len(names) == len(set(names)) == len(CONCEPTS) * plan.seeds * len(plan.configs)
        assert len({str(c) for c in plan.configs}) == len(plan.configs)
        assert all(plan.nearest(c) == n for n, c in enumerate(plan.configs))
    assert [(p.concept, p.seed, p.number) for p in points(HARD)[:3]] == [
        ("crescent", 0, 0), ("crescent", 1, 0), ("crescent", 0, 1),
    ]  # fmt: skip


def test_the_hard_tables_configs_stay_those_that_were_trained() -> None:
    assert len(HARD.knobs) == 7 and HARD.configs[0] == HARD.baseline
    assert HARD.configs[10] == {
        "learning_rate": 0.0143, "timestep_shift": 4.78, "dropout": 0.113, "weight_decay": 0.0448, "rank": 16,
        "targets": "all", "captions": "whole",
    }  # fmt: skip
    assert make.shortened("a small red zorp on a blue background") == "a red zorp"


def test_both_tables_are_there_with_several_seeds() -> None:
    assert load(EASY, "star").score.shape == load(EASY, "crescent").score.shape == (3, 152, 4, PROMPTS)
    hard = load(HARD, "crescent")
    assert hard.seeds >= 2 and fits(Method("brief", 8), hard)
    assert not fits(Method("brief", len(hard.plan.configs) // 2 + 1), hard) and fits(
        Method("tpe", 81), load(EASY, "star")
    )


def test_what_a_session_names_is_held_against_the_best() -> None:
    ended = [Ended(16, config(1e-2)), Ended(8, config(1e-3))]
    assert shortfalls(ended, table()) == pytest.approx([0.0, 0.375])
    grade = graded("x", ended, table())
    assert (grade.cost, grade.reached, grade.sessions) == (1.5, 0.5, 2)
    assert grade.regret == pytest.approx(0.1875)


def test_sessions_that_were_kept_are_not_played_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, on = tmp_path / "kept.jsonl", ("embedded", "star", "recorded")
    methods = [Method("tournament", 17), Method("brief", 17), Method("tpe", 11)]
    kept = Kept(path, EASY, *on[1:])
    line = {"method": "brief:17", "session": 3, "steps": 96, "config": {"rank": 2}}
    kept.add([line, {**line, "session": 0}])
    again = Kept(path, EASY, *on[1:])
    assert again.sessions("brief:17") == {0: Ended(96, {"rank": 2}), 3: Ended(96, {"rank": 2})}
    found = [{m.name: list(n) for m, n in job.sessions.items()} for job in jobs(methods, 6, again, on)]
    assert found == [
        {"tournament:17": [0, 1, 2, 3, 4], "brief:17": [1, 2, 4]}, {"tpe:11": [0, 1, 2, 3, 4]},
        {"tournament:17": [5], "brief:17": [5]}, {"tpe:11": [5]},
    ]  # fmt: skip
    assert Kept(path, EASY, "crescent", "recorded").sessions("brief:17") == {}
    monkeypatch.setattr(play, "edition", lambda _: "other code")
    assert Kept(path, EASY, *on[1:]).sessions("brief:17") == {}


def test_a_job_says_what_its_sessions_ended_with() -> None:
    lines = Job("embedded", "star", "recorded", {Method("random", 3): [0, 1]}).play()
    assert [(x["method"], x["session"], x["steps"]) for x in lines] == [("random:3", 0, 288), ("random:3", 1, 288)]


def test_two_methods_are_compared_session_by_session() -> None:
    # Better by 0.1, worse by 0.05, alike; the fourth was played by one of them alone. Mean 0.0167, sd 0.0764.
    said = paired({0: 0.1, 1: 0.0, 2: 0.2, 3: 0.5}, {0: 0.0, 1: 0.05, 2: 0.2})
    assert said == "better in 1, worse in 1, alike in 1 of 3; +1.7% ± 8.8% of the best"


def test_a_method_is_named_by_kind_and_configs() -> None:
    assert method("brief:17") == Method("brief", 17)
    assert all(m.flow(EASY.ladder) for m in USUAL)
    for wrong in ("brief", "quick:17", "brief:x", "brief:1"):
        with pytest.raises(Exception, match="as in brief:17"):
            method(wrong)


def test_what_melted_is_told_as_melted() -> None:
    hot = table()
    hot.loss[:, 3] = 9.0
    (told,) = Simulator(hot, {0: 0}, ScoreSettings()).run([wanted(1e-1)])
    assert told.outcome is Outcome.DIVERGED and told.score is None


def test_a_remembered_sampler_is_asked_once_for_each_class_of_it() -> None:
    class One:
        _seed, _configs = 1, 5

    class Two(One):
        pass

    asked: list[int] = []
    answer = remembered(lambda self, number, told: asked.append(number) or {"rank": number})  # type: ignore[func-returns-value]
    assert [answer(One(), 4, []), answer(One(), 4, []), answer(Two(), 4, [])] == [{"rank": 4}] * 3  # type: ignore[arg-type]
    assert asked == [4, 4]


def test_another_sampler_proposes_within_the_space_and_the_same_again() -> None:
    class Chance(OptunaGP):
        def _rival(self, seed: int) -> BaseSampler:
            return RandomSampler(seed=seed)

    rival = Chance((RATE, RANK), seed=3, configs=9)
    known = [(config(1e-4), 0.9), (config(1e-3, 8), 0.1)]
    found = [rival._expected(5, known, [], set()) for _ in range(2)]
    assert found[0] is not None and found[0] == found[1] and effective(found[0], (RATE, RANK)) == found[0]
    assert rival._expected(5, known, [], {key(found[0])}) != found[0]
    # Ranks are an order to it, their places, and come back as ranks.
    assert (rivals._placed(RANK, 8), rivals._value(RANK, 1), rivals._placed(RATE, 1e-3)) == (1, 8, 1e-3)
