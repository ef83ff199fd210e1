"""The tournament as it is drawn: who stands where, who goes on, who is out. Sessions are told by hand."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from bracket.domain import Config, Outcome, Round, Score
from bracket.session.asked.settings import SessionSettings, validated
from bracket.session.reading.bracket import Drawing, Fate, Lane, fold, lay_out
from bracket.session.view import SessionView, TrialView

BASE = {"rank": 0}


def settings(configs: int = 12, **search: object) -> SessionSettings:
    """Rungs of 12, 7 and 4 configs with 30, 60 and 120 steps; finals of 4 × 2 seeds; 5 pairs."""
    return validated(
        {
            "preset": "embedded-demo",
            "dataset": {"folder": "pictures"},
            "search": {"configs": configs, "steps": 120, "rungs": 3, "reduction": 2, **search},
            "finals": {"finalists": 3, "steps": 200, "seeds": 2},
        }
    )


def trial(
    config: int,
    number: int = 0,
    *,
    round_: Round = Round.SEARCH,
    rung: int = 0,
    seed: int = 1,
    score: float | None = None,
    state: str = "",
    outcome: Outcome | None = Outcome.OK,
) -> TrialView:
    """Config 0 is the baseline. Its score is a tenth of its number, unless one is given."""
    name = {0: round_.value}.get(rung, f"{round_.value}-{rung + 1}")
    if state:
        outcome = None
    total = config / 10 if score is None else score
    return TrialView(
        id=f"{name}-{number:03d}",
        round=round_,
        origin="baseline" if config == 0 else "winner" if round_ is Round.CONFIRMATION else "tpe",
        config={"rank": config},
        label=f"rank {config}",
        seed=seed,
        steps=30 * 2**rung,
        rung=rung,
        state=state or (outcome.value if outcome else "waiting"),
        outcome=outcome,
        score=Score(total, total, total) if outcome is Outcome.OK else None,
    )


def rung(configs: list[int], number: int = 0, **more: object) -> list[TrialView]:
    return [trial(c, n, rung=number, **more) for n, c in enumerate(configs)]  # type: ignore[arg-type]


def session(trials: list[TrialView], state: str = "running", phase: str = "search", verdict: str = "") -> SessionView:
    return SessionView(
        "x", Path("x"), state, phase, 0, 0, None, "", tuple(trials), verdict  # type: ignore[arg-type]
    )  # fmt: skip


def fates(drawing: Drawing) -> dict[int, list[Fate]]:
    return {number(lane): [c.fate for c in lane.cells] for lane in drawing.lanes}


def number(lane: Lane) -> int:
    return int(lane.config["rank"])


def order(drawing: Drawing) -> list[int]:
    return [number(lane) for lane in drawing.lanes]


FIRST = [0, 5, 3, 9, 1, 11, 2, 7, 4, 8, 6, 10]
"""The first rung in the order it began: the baseline scores best of all."""


def test_the_plan_is_drawn_before_anything_was_trained() -> None:
    drawing = lay_out(session([]), settings())
    assert [(c.round, c.steps, c.planned) for c in drawing.columns] == [
        (Round.SEARCH, 30, 12),
        (Round.SEARCH, 60, 7),
        (Round.SEARCH, 120, 4),
        (Round.FINALS, 200, 4),
        (Round.CONFIRMATION, 200, 2),
    ]
    assert drawing.lanes == () and drawing.winner == ""


def test_lanes_of_a_running_rung_stay_in_the_order_they_began() -> None:
    drawing = lay_out(session([*rung(FIRST[:8]), trial(4, 8, state="training")]), settings())
    assert order(drawing) == FIRST[:9]
    assert fates(drawing)[4] == ["busy"]
    assert fates(drawing)[0] == ["ended"]
    places = {number(lane): lane.last.place for lane in drawing.lanes}
    assert (places[0], places[1], places[11], places[4]) == (1, 2, 8, 0)


def test_a_rung_that_is_full_says_who_goes_on() -> None:
    drawing = lay_out(session(rung(FIRST)), settings())
    assert order(drawing) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    found = fates(drawing)
    assert [found[n] for n in range(7)] == [["through"]] * 7, "the baseline and the six best others"
    assert [found[n] for n in range(7, 12)] == [["out"]] * 5
    assert [lane.reach for lane in drawing.lanes] == [1] * 7 + [0] * 5


def test_a_baseline_that_is_last_goes_on_and_takes_nobodys_place() -> None:
    first = [trial(0, 0, score=9.0), *rung(FIRST[1:])]
    first = [replace(t, id=f"search-{n:03d}") for n, t in enumerate(first)]
    drawing = lay_out(session(first), settings())
    assert order(drawing)[:8] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert [fates(drawing)[n] for n in (0, 6, 7)] == [["through"], ["through"], ["out"]]


def test_those_that_train_on_stand_above_those_that_will() -> None:
    view = session([*rung(FIRST), trial(0, 0, rung=1), trial(1, 1, rung=1, state="training")])
    drawing = lay_out(view, settings())
    assert order(drawing)[:7] == [0, 1, 2, 3, 4, 5, 6]
    found = fates(drawing)
    assert found[0] == ["advanced", "ended"]
    assert found[1] == ["advanced", "busy"]
    assert found[2] == ["through"]
    assert [c.closed for c in drawing.columns] == [True, False, False, False, False]


def test_a_melted_config_is_out_without_a_place() -> None:
    melted = replace(trial(4, 8, outcome=Outcome.DIVERGED), cause="the loss became infinite")
    view = session([t if t.config["rank"] != 4 else melted for t in rung(FIRST)])
    drawing = lay_out(view, settings())
    assert fates(drawing)[4] == ["failed"]
    assert order(drawing)[-1] == 4, "below those that have a score"
    assert fates(drawing)[7] == ["through"], "the next one takes its place"


def test_a_session_that_rests_keeps_its_open_trials_waiting() -> None:
    drawing = lay_out(session([*rung(FIRST[:3]), trial(9, 3, state="waiting")], state="stopped"), settings())
    assert fates(drawing)[9] == ["waiting"]
    assert not drawing.columns[0].closed


def to_finals() -> list[TrialView]:
    return [*rung(FIRST), *rung([0, 1, 2, 3, 4, 5, 6], 1), *rung([0, 1, 2, 3], 2)]


def finals(seeds: tuple[int, ...] = (21, 22)) -> list[TrialView]:
    pairs = [(seed, c) for seed in seeds for c in (0, 1, 2, 3)]
    scores = {0: 0.5, 1: 0.4, 2: 0.2, 3: 0.3}
    return [
        trial(c, n, round_=Round.FINALS, seed=s, score=scores[c] + (0.02 if s == 22 else 0))
        for n, (s, c) in enumerate(pairs)
    ]


def test_finals_hold_all_seeds_of_a_config_in_one_cell() -> None:
    view = session([*to_finals(), *finals()[:6]], phase="finals")
    drawing = lay_out(view, settings(), winner={"rank": 2})
    cells = {number(lane): lane.last for lane in drawing.lanes[:4]}
    assert [len(cells[n].trials) for n in range(4)] == [2, 2, 1, 1]
    assert cells[0].scores == (0.5, 0.52)
    assert (cells[1].place, cells[0].place, cells[2].place) == (1, 2, 0), "who has fewer seeds has no place yet"
    assert order(drawing)[:4] == [0, 1, 2, 3], "nobody moves before the finals are over"
    assert drawing.winner == "", "who leads before the finals are over is no winner"
    assert drawing.columns[3].ended == 2


def test_the_winners_lane_is_the_first_and_the_duels_other_the_second() -> None:
    view = session([*to_finals(), *finals()], phase="confirmation")
    drawing = lay_out(view, settings(), winner={"rank": 2})
    assert order(drawing)[:4] == [2, 0, 3, 1]
    assert fates(drawing)[2][-1] == fates(drawing)[0][-1] == "through"
    assert fates(drawing)[3][-1] == "out"
    assert drawing.lanes[0].id == drawing.winner


def duel(pairs: int) -> list[TrialView]:
    """The winner is better in all pairs but the first, in which it melted."""
    found = []
    for n in range(pairs):
        found.append(trial(0, 2 * n, round_=Round.CONFIRMATION, seed=31 + n, score=0.5))
        melts = {"outcome": Outcome.DIVERGED} if n == 0 else {"score": 0.2}
        found.append(trial(2, 2 * n + 1, round_=Round.CONFIRMATION, seed=31 + n, **melts))  # type: ignore[arg-type]
    return found


def test_the_duel_counts_pairs_and_a_melted_arm_as_the_worst() -> None:
    view = session([*to_finals(), *finals(), *duel(3)], phase="confirmation")
    winner, baseline, *_ = lay_out(view, settings(), winner={"rank": 2}).lanes
    assert (winner.last.won, winner.last.pairs) == (2, 3)
    assert (baseline.last.won, baseline.last.pairs) == (1, 3)
    assert winner.last.place == 0


def test_of_two_duels_of_the_settings_the_newest_counts() -> None:
    view = session([*to_finals(), *finals(), *duel(3)], phase="confirmation")
    drawing = lay_out(view, settings(), winner={"rank": 2}, seeds=(32, 33, 34))
    winner, baseline, *_ = drawing.lanes
    assert [(lane.last.won, lane.last.pairs) for lane in (winner, baseline)] == [(2, 2), (0, 2)], "not the first, lost"
    assert drawing.columns[-1].seeds == 3 and {t.seed for t in winner.last.trials} == {32, 33}
    planned = lay_out(view, settings(), winner={"rank": 2}, seeds=(35, 36)).lanes[0]
    assert len(planned.last.trials) == 3, "until one has begun"


def test_the_runner_up_of_a_duel_is_told_by_its_pairs_with_the_winner() -> None:
    third = [replace(trial(3, 9, round_=Round.CONFIRMATION, seed=32, score=0.1), origin="runner_up")]
    view = session([*to_finals(), *finals(), *duel(3), *third], phase="confirmation")
    lanes = lay_out(view, settings(), winner={"rank": 2}).lanes
    assert [number(lane) for lane in lanes[:3]] == [2, 0, 3]
    assert (lanes[2].last.won, lanes[2].last.pairs) == (1, 1)
    assert (lanes[0].last.won, lanes[0].last.pairs) == (2, 3)


def test_a_duel_of_files_alone_has_its_cells_too() -> None:
    fresh = {"winner", "baseline"}
    view = session([*to_finals(), *finals()], phase="confirmation")
    winner, baseline, *_ = lay_out(view, settings(), winner={"rank": 2}, fresh=fresh).lanes
    for lane in (winner, baseline):
        assert (lane.last.column, lane.last.fate, lane.last.trials) == (4, "busy", ())


def test_a_baseline_that_wins_needs_no_duel() -> None:
    view = session([*to_finals(), *finals()], state="done", phase="done")
    drawing = lay_out(view, settings(), winner={"rank": 0})
    assert order(drawing)[0] == 0 and drawing.lanes[0].last.column == 3
    assert fates(drawing)[0][-1] == "advanced"
    assert fates(drawing)[2][-1] == "out"


def test_with_one_rung_it_is_search_finals_duel() -> None:
    drawing = lay_out(session([*rung(FIRST), *finals()], phase="finals"), settings(strategy="tpe"), winner={"rank": 2})
    assert [c.round for c in drawing.columns] == [Round.SEARCH, Round.FINALS, Round.CONFIRMATION]
    assert order(drawing)[:4] == [2, 0, 3, 1]


def test_rungs_that_fill_at_random_close_only_with_the_search() -> None:
    trials = [*rung(FIRST[:6]), *rung([0, 3], 1), trial(0, 0, rung=2, state="training")]
    drawing = lay_out(session(trials), settings(strategy="asha"))
    assert not any(c.closed for c in drawing.columns)
    assert order(drawing)[:2] == [0, 3]
    assert fates(drawing)[5] == ["ended"]
    begun = lay_out(session([*trials, *finals()[:1]], phase="finals"), settings(strategy="asha"))
    assert fates(begun)[5] == ["ended"], "a finalist may come from any rung"
    over = lay_out(session([*trials, *finals()[:4]], phase="finals"), settings(strategy="asha"))
    assert fates(over)[5] == ["out"]


def test_nobody_foresees_finalists_of_two_objectives() -> None:
    two = settings(strategy="nsga2")
    assert fates(lay_out(session(rung(FIRST)), two))[1] == ["ended"]
    assert fates(lay_out(session([*rung(FIRST), *finals()[:4]], phase="finals"), two))[4] == ["out"]


def test_one_config_has_nobody_to_meet() -> None:
    drawing = lay_out(session([trial(0)], state="done", phase="done"), settings(configs=1))
    assert {c.round for c in drawing.columns} == {Round.SEARCH}


def test_few_lanes_are_all_drawn() -> None:
    drawing = lay_out(session(rung(FIRST)), settings())
    assert fold(drawing, 24) == (drawing.lanes, [])


def test_many_lanes_fold_into_those_that_went_out_first() -> None:
    many = [trial(n, n) for n in range(200)]
    seconds = [trial(n, k, rung=1) for k, n in enumerate(range(20))]
    drawing = lay_out(session([*many, *seconds, trial(0, 0, rung=2)]), settings(configs=200))
    kept, groups = fold(drawing, 24)
    assert [number(lane) for lane in kept] == list(range(20))
    assert [(column, len(lanes)) for column, lanes in groups] == [(0, 180)]


def test_of_a_rung_with_too_many_those_that_train_have_lanes() -> None:
    many = [trial(n, n, state="training" if n in (58, 59) else "") for n in range(60)]
    drawing = lay_out(session(many), settings(configs=200))
    kept, groups = fold(drawing, 24)
    assert [number(lane) for lane in kept] == [*range(22), 58, 59]
    assert [(column, len(lanes)) for column, lanes in groups] == [(0, 36)]


@pytest.mark.parametrize("count", [10_000])
def test_ten_thousand_trials_are_laid_out_in_a_moment(count: int) -> None:
    config: Config = {f"knob_{n}": n for n in range(8)}
    trials = [replace(trial(n, n, score=n / count), config={**config, "rank": n}) for n in range(count)]
    began = time.process_time()
    drawing = lay_out(session(trials), settings(configs=count))
    assert time.process_time() - began < 2.0
    assert len(drawing.lanes) == count
