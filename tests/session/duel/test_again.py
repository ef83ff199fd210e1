"""Earlier tries of the same question: found beside a session, kept in its plan, and what they leave of alpha."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest

from bracket.files import read_json, write_json, write_text
from bracket.report.claims.again import Earlier, Standing, first_alpha
from bracket.session.asked.settings import SessionSettings
from bracket.session.duel import again
from bracket.session.duel.again import standing
from bracket.session.duel.more import further, next_plan
from bracket.session.duel.plan import PLAN, DuelPlan
from bracket.session.job import resolve
from bracket.session.planning.budget import fit_here, seconds_here
from bracket.session.planning.plan import make
from bracket.session.running import launch
from tests.session import scripted

PLAIN = DuelPlan(
    winner={"lr": 2},
    baseline={"lr": 1},
    alpha=0.04,
    whole_alpha=0.05,
    prompts=tuple(f"p{n}" for n in range(20)),
    pictures=tuple((f"p{n}", n) for n in range(20)),
    pairs=5,
    training_seeds=(500, 501, 502, 503, 504),
    planned="2026-11-01T10:00:00+00:00",
)


@pytest.fixture
def asked(tmp_path: Path, dataset: Path, own_trainer: None, monkeypatch: pytest.MonkeyPatch) -> SessionSettings:
    monkeypatch.setenv("BRACKET_RUNS", str(tmp_path / "runs"))
    scripted.put_in()
    return scripted.settings_for(dataset, pairs=5)


def _context(asked: SessionSettings, folder: Path) -> again.Context:
    return resolve(asked, folder)


def _tried(asked: SessionSettings, folder: Path, **changes: object) -> Path:
    """A session in `folder` whose duel was planned."""
    launch.create(asked, folder)
    context = _context(asked, folder)
    standing = again.standing_of(context)
    given = {"baseline": context.baseline, "alpha": standing.alpha, "family": standing.family, "earlier": ()}
    write_json(folder / PLAN, {**PLAIN.as_dict(), **given, **changes})
    return folder


def stands(asked: SessionSettings, folder: Path | None = None) -> Standing:
    return standing(resolve(asked, folder))


def _other_seed(asked: SessionSettings, seed: int) -> SessionSettings:
    return asked.model_copy(update={"seed": seed})


def test_a_first_session_has_four_fifths_and_the_next_a_tenth(asked: SessionSettings, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert stands(asked) == Standing(0.05, 0.04, (), stands(asked).family) and stands(asked).words == ()
    first = _tried(asked, runs / "first")
    write_text(first / "report" / "verdict.txt", "**lr 1e-3** wins. Its pictures beat the baseline's.")
    found = stands(_other_seed(asked, 1))
    (tried,) = found.earlier
    assert tried == Earlier(
        session="first", planned="2026-11-01T10:00:00+00:00", outcome="lr 1e-3 wins", files=1, settings=1
    )
    assert (found.alpha, found.whole) == (0.005, 0.05)
    (words,) = found.words
    assert words.startswith(
        "1 earlier session asked the same, with the same pictures, preset and baseline: first (2026"
    )
    assert "(2026-11-01): lr 1e-3 wins. Who tries" in words and "0.005 is left for this one" in words


def test_what_is_promised_follows_from_the_alpha_that_is_left(asked: SessionSettings, tmp_path: Path) -> None:
    before = make(asked)
    assert before.again == () and "5 paired trainings" in before.promises[2].words
    hours = seconds_here(resolve(asked)) / 2 / 3600
    assert " of the 5 paired runs" in fit_here(resolve(asked), hours).words
    _tried(asked, tmp_path / "runs" / "first")
    plan = make(_other_seed(asked, 1))
    assert len(plan.again) == 1 and "first (2026-11-01): no verdict yet" in plan.again[0]
    assert not plan.promises[2].possible and "3 more pairs would do" in plan.promises[2].words
    assert plan.promises[1].possible, "twenty prompts still can"
    assert " of the 8 paired runs" in fit_here(resolve(_other_seed(asked, 1)), hours).words


def test_the_question_is_known_by_its_pictures_and_not_by_their_names(asked: SessionSettings, tmp_path: Path) -> None:
    runs, copy = tmp_path / "runs", tmp_path / "elsewhere"
    _tried(asked, runs / "first")
    shutil.copytree(asked.dataset.folder, copy)
    picture = next(copy.glob("*.png"))
    for file in copy.glob(f"{picture.stem}.*"):
        file.rename(file.with_stem("renamed"))

    def elsewhere() -> SessionSettings:
        return asked.model_copy(update={"dataset": asked.dataset.model_copy(update={"folder": str(copy)})})

    assert len(stands(elsewhere()).earlier) == 1, "copied and renamed"
    (copy / "renamed.png").unlink()
    assert stands(elsewhere()).earlier == (), "other pictures"
    rate = {"learning_rate": 2e-3}
    assert stands(asked.model_copy(update={"baseline": rate})).earlier == (), "another baseline"
    judged = asked.judge.model_copy(update={"weights": {"likeness": 0.0}})
    assert len(stands(asked.model_copy(update={"judge": judged})).earlier) == 1, "another judge is another try"


def test_what_could_not_claim_and_additions(asked: SessionSettings, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    few = {"pictures": [["p0", 0]], "prompts": ["p0"], "training_seeds": [500, 501]}
    nothing = _tried(asked, runs / "nothing", **few)
    assert stands(_other_seed(asked, 1)).earlier == ()
    shutil.rmtree(nothing)
    first = _tried(asked, runs / "first")
    plan = further([DuelPlan.from_dict(read_json(first / PLAN))], 8, 0)
    write_json(next_plan(first), plan.as_dict())
    (found,) = stands(_other_seed(asked, 1)).earlier
    assert (found.files, found.settings) == (1, 2), "an added duel is a try of the settings"
    assert stands(_other_seed(asked, 1)).alpha == 0.0025


def test_an_addition_counts_what_others_tried_since(asked: SessionSettings, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    first = _tried(asked, runs / "first")
    _tried(_other_seed(asked, 1), runs / "second", training_seeds=list(range(8)))
    assert [one.session for one in again.since(first)] == ["second"]
    mine = DuelPlan.from_dict(read_json(first / PLAN))
    added = further([mine], 9, 0, elsewhere=again.since(first))
    assert (added.alpha, added.family) == (0.0025, mine.family) and added.earlier[0].session == "second"


def test_a_plan_keeps_where_it_stood(asked: SessionSettings, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    first = _tried(asked, runs / "first")
    second = _tried(_other_seed(asked, 1), runs / "second")
    assert stands(asked, first).alpha == 0.04, "what came later takes nothing away"
    assert stands(_other_seed(asked, 1), second).alpha == 0.005
    old = {name: value for name, value in read_json(first / PLAN).items() if name in ("alpha", "winner", "baseline")}
    write_json(first / PLAN, {**PLAIN.as_dict(), **old, "alpha": 0.05, "edition": 2, "family": "", "whole_alpha": 0.05})
    assert stands(asked, first).alpha == 0.05, "a plan of an earlier edition"
    (found,) = again.since(second)
    assert found.session == "first", "one without a family is known by preset, folder and baseline"


@pytest.mark.parametrize("damage", ["{", '{"alpha": "no"}', '{"winner": 1}', "[]"])
def test_a_damaged_neighbour_costs_a_logged_line(
    asked: SessionSettings, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = _tried(asked, tmp_path / "runs" / "other")
    (other / PLAN).write_text(damage)
    with caplog.at_level(logging.WARNING):
        assert stands(asked).earlier == () and stands(asked).alpha == 0.04
    told = [record for record in caplog.records if "other can't be read" in record.message]
    assert len(told) == 1, "once, until it changes"


def test_a_foreign_neighbour_costs_nothing(asked: SessionSettings, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    (runs / "no session" / "confirm").mkdir(parents=True)
    write_json(runs / "no session" / PLAN, PLAIN.as_dict())
    many = _tried(asked, runs / "many")
    write_json(many / PLAN, {**read_json(many / PLAN), "training_seeds": list(range(50_000))})
    if hasattr(os, "mkfifo"):
        (runs / "pipe" / "confirm").mkdir(parents=True)
        os.mkfifo(runs / "pipe" / PLAN)
    assert [one.session for one in stands(_other_seed(asked, 1)).earlier] == ["many"]


def test_neighbours_are_read_once(asked: SessionSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tried(asked, tmp_path / "runs" / "first")
    assert len(stands(_other_seed(asked, 1)).earlier) == 1
    monkeypatch.setattr(again, "read_plans", lambda _: pytest.fail("read again"))
    assert len(stands(_other_seed(asked, 1)).earlier) == 1


def test_a_session_judged_again_is_no_try_and_has_no_more_than_its_own(asked: SessionSettings, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    _tried(asked, runs / "first")
    second = _tried(_other_seed(asked, 1), runs / "second", earlier=[one.as_dict() for one in _one("first")])
    launch.create(_other_seed(asked, 1), runs / "again")
    again.mark(_context(asked, runs / "again"), second)
    found = stands(_other_seed(asked, 1), runs / "again")
    assert (found.rejudged, found.alpha, [one.session for one in found.earlier]) == ("second", 0.005, ["first"])
    assert found.words[0].startswith("This is second judged again") and "no new evidence" in found.words[0]
    assert [one.session for one in stands(_other_seed(asked, 2)).earlier] == ["first", "second"]
    (runs / "again" / again.REJUDGED).write_text("{}")
    assert stands(asked, runs / "again").alpha == 0.04, "damaged: told by the checks"


def _one(name: str) -> tuple[Earlier, ...]:
    return (Earlier(session=name, planned="2026", outcome="", files=1, settings=1),)


def test_of_two_series_the_one_that_is_further_on_counts() -> None:
    files = Earlier(session="a", planned="", outcome="", files=1, settings=0)
    pairs = Earlier(session="b", planned="", outcome="", files=0, settings=1)
    assert [first_alpha(0.05, tried) for tried in ((), (files,), (files, pairs), (files, files, pairs))] == [
        0.04, 0.005, 0.005, 0.0025,
    ]  # fmt: skip


def test_a_second_demo_has_the_pairs_that_a_claim_then_takes(tmp_path: Path) -> None:
    runs = tmp_path / "runs"

    def pairs(name: str) -> int:
        return launch.demo_settings(runs=runs, session=runs / name).confirmation.pairs

    assert pairs("demo") == 5
    first = launch.demo_settings(runs=runs, session=runs / "demo")
    _tried(first, runs / "demo")
    assert pairs("demo-2") == 8 and pairs("demo") == 5, "and one that is continued keeps its own"
    launch.create(launch.demo_settings(runs=runs, session=runs / "demo-2"), runs / "demo-2")
    assert pairs("demo-2") == 8
