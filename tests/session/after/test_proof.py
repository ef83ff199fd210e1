"""More pairs for a finished session: what is offered, what is refused, and whole sessions to their certificate."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest

from bracket.domain import Round, Sample
from bracket.errors import SettingsError, StorageError
from bracket.files import read_json, write_json
from bracket.report.claims import certificate
from bracket.report.claims.added import newest_pairs, tries
from bracket.report.summary import Summary
from bracket.session import view
from bracket.session.after import proof
from bracket.session.asked.seeds import Seeds
from bracket.session.asked.settings import load
from bracket.session.control import Lock, Progress, write_progress
from bracket.session.duel.more import further, next_plan, read_plans
from bracket.session.duel.plan import PLAN, DuelPlan
from bracket.session.reading import bracket as bracket_view
from bracket.session.reading import duel as duel_view
from bracket.session.running import launch
from bracket.session.store import Store
from tests.session import scripted

USED = Seeds(0).training(Round.CONFIRMATION, 1)[0]
FIRST = DuelPlan(
    winner={"lr": 2},
    baseline={"lr": 1},
    alpha=0.05,
    prompts=("a",),
    pictures=(("a", 1),),
    pairs=5,
    training_seeds=(500, 501, 502, 503, 504),
)


def _of(pairs: int) -> DuelPlan:
    return DuelPlan.from_dict({**FIRST.as_dict(), "training_seeds": FIRST.training_seeds[:pairs]})


# The plans


def test_a_further_duel_has_seeds_of_its_own_and_what_is_left_of_alpha() -> None:
    second = further([FIRST], 6, 0)
    assert (second.alpha, second.training_seeds) == (0.005, (505, 506, 507, 508, 509, 510))
    assert (second.prompts, second.pictures, second.others) == ((), (), ("baseline",))
    third = further([FIRST, second], 7, 0)
    assert (third.alpha, third.training_seeds) == (0.005, tuple(range(511, 518))), "six could claim nothing"
    second = further([FIRST], 8, 0)
    third = further([FIRST, second], 9, 0)
    assert (third.alpha, third.whole_alpha) == (0.0025, 0.05) and "p <= 0.0025" in third.rule
    assert "share an alpha of 0.05; this one has 0.0025 of it" in third.rule


@pytest.mark.parametrize(("pairs", "alpha"), [(0, 0.04), (4, 0.04), (5, 0.005)])
def test_a_duel_too_small_for_any_claim_spent_nothing(pairs: int, alpha: float) -> None:
    assert further([_of(pairs)], 5, 0).alpha == alpha


def test_seeds_that_were_trained_without_a_plan_are_not_fresh() -> None:
    assert further([_of(2)], 3, 0, begun={502, 504}).training_seeds == (503, 505, 506)


def test_the_plans_are_read_in_their_order_and_none_may_be_missing(tmp_path: Path) -> None:
    assert read_plans(tmp_path) == ()
    write_json(tmp_path / PLAN, FIRST.as_dict())
    assert read_plans(tmp_path) == (FIRST,)
    plans = [FIRST]
    for pairs in (6, 7):
        plans.append(further(plans, pairs, 0))
        write_json(next_plan(tmp_path), plans[-1].as_dict())
    assert read_plans(tmp_path) == tuple(plans)
    (tmp_path / "confirm" / "plan-2.json").unlink()
    with pytest.raises(StorageError, match=r"missing.*plan-2\.json"):
        read_plans(tmp_path)


# What is offered


def test_the_number_that_is_needed_is_named() -> None:
    offer = proof.Offer(alpha=0.025, live_share=0.2, tries=1, fewest=6, suggested=6)
    assert offer.problem(5) == "5 pairs can't end in a claim at alpha 0.025; at least 6 are needed"
    assert offer.problem(6) == "" and "are more than" in offer.problem(101)
    assert "needs p ≤ 0.025; the smallest they can show is 0.016" in offer.wants(6)
    assert "An earlier duel asked the same and leaves no more" in offer.wants(6)
    assert "earlier" not in proof.Offer(alpha=0.05, live_share=0.2, fewest=5, suggested=5).wants(5)


# Whole sessions


@pytest.fixture
def asked(tmp_path: Path, dataset: Path, own_trainer: None) -> Path:
    """A session of two configs with two pairs, too few for a claim."""
    return _session(tmp_path, dataset, 2)


def _session(folder: Path, dataset: Path, pairs: int) -> Path:
    asked = scripted.settings_for(dataset, configs=2, seeds=1, pairs=pairs)
    search = asked.search.model_copy(update={"strategy": "screen", "rungs": 1})
    return launch.create(asked.model_copy(update={"search": search}), folder / "s")


def _held(folder: Path) -> dict[str, object]:
    path = folder / "report" / "certificate.json"
    assert certificate.verify(path) == []
    return dict(read_json(path))


class Moody(scripted.ScriptedJudge):
    """Doesn't like the winner when it is trained with one of these seeds."""

    def __init__(self, folder: Path, seeds: Iterable[int]) -> None:
        self._folder, self._seeds = folder, set(seeds)

    def _look(self, sample: Sample) -> float:
        value = super()._look(sample)
        at = next((p for p in sample.path.parents if p.name.startswith("confirmation-")), None)
        return 1 - value if at and read_json(at / "trial.json")["seed"] in self._seeds else value


def _play(folder: Path, judge: scripted.ScriptedJudge | None = None) -> Summary:
    summary = scripted.play(folder, judge=judge)
    assert summary is not None
    return summary


@pytest.mark.slow
def test_pairs_that_were_added_prove_the_settings(asked: Path) -> None:
    with pytest.raises(SettingsError, match="is not done"):
        proof.begin(asked, 5)
    before = _play(asked)
    assert before.verdict.kind == "checkpoint" and len(before.pairs) == 2
    assert "additions" not in _held(asked)
    offer = proof.offer(asked)
    assert (offer.refusal, offer.alpha, offer.tries, offer.fewest) == ("", 0.04, 0, 5)
    cost = proof.cost(asked, 5)
    assert "10 trainings of 8 steps, 80 steps in all: about" in cost.words and cost.trainings.seconds > 0
    with pytest.raises(SettingsError, match=r"4 pairs can't end in a claim at alpha 0\.04; at least 5 are needed"):
        proof.begin(asked, 4)
    kept = (asked / PLAN).read_bytes()

    plan = proof.begin(asked, 5)

    assert view.read(asked).state == "stopped" and proof.offer(asked).refusal == "the session is not done"
    summary = _play(asked)
    assert (asked / PLAN).read_bytes() == kept
    assert summary.verdict.kind == "config" and summary.verdict.config_p == 1 / 32
    assert summary.pairs == before.pairs, "the first pairs are what they were"
    assert tuple(p.seed for p in newest_pairs(summary)) == plan.training_seeds
    held = _held(asked)
    assert [row["claim"]["p_greater"] for row in held["additions"]] == [1 / 32]  # type: ignore[attr-defined]
    report = (asked / "report" / "report.md").read_text()
    assert "An earlier duel was too small for any claim and spent nothing" in report
    progress = read_json(asked / "state.json")
    assert progress["done"] == progress["planned"]
    assert proof.offer(asked).refusal == "the settings are proved already"
    with pytest.raises(SettingsError, match="proved already"):
        proof.begin(asked, 6)


@pytest.mark.slow
def test_trying_again_is_held_to_less_and_what_came_before_stays_in_the_report(
    tmp_path: Path, dataset: Path, own_trainer: None
) -> None:
    folder = _session(tmp_path, dataset, 5)
    seeds = Seeds(0).training(Round.CONFIRMATION, 8)
    judge = Moody(folder, {seeds[4], seeds[7]})
    first = _play(folder, judge)
    assert first.verdict.config_p is not None and first.verdict.kind != "config" and len(first.pairs) == 5
    offer = proof.offer(folder)
    assert (offer.alpha, offer.tries, offer.fewest) == (0.005, 1, 8)
    with pytest.raises(SettingsError, match="at least 8 are needed"):
        proof.begin(folder, 7)

    proof.begin(folder, 8)
    second = _play(folder, judge)

    assert second.verdict.kind != "config" and second.verdict.alpha == 0.04
    claim = second.verdict.config
    assert claim is not None and (claim.alpha, claim.pairs) == (0.005, 3), "hopeless as soon as one of eight is lost"
    assert [c.pairs for _, c in tries(second) if c] == [5, 3]
    report = (folder / "report" / "report.md").read_text()
    assert "An earlier duel of 5 pairs ended without a claim; this one" in report and "held to p ≤ 0.005" in report
    held = _held(folder)
    assert held["first_claim"] == first.verdict.config.as_dict()  # type: ignore[union-attr]
    progress = read_json(folder / "state.json")
    assert progress["done"] == progress["planned"], "what is spared is no longer planned"

    proof.begin(folder, 9)
    third = _play(folder, judge)

    assert third.verdict.kind == "config" and third.verdict.config_p == 1 / 512
    assert "2 earlier duels ended without a claim" in (folder / "report" / "report.md").read_text()
    assert [row["plan"]["alpha"] for row in _held(folder)["additions"]] == [0.005, 0.0025]  # type: ignore[attr-defined]
    _forged(folder)


def _forged(folder: Path) -> None:
    """Whoever changes what an addition was held to is found out, even with a new seal."""
    from bracket.report.claims.evidence import hash_of

    path = folder / "report" / "certificate.json"
    for change, said in (
        (lambda rows: rows[0]["plan"].update(alpha=0.05), "the duels before it leave 0.005"),
        (lambda rows: rows[0]["plan"].update(alpha=0.025, edition=2), "the duels before it leave 0.005"),
        (lambda rows: rows.pop(0), "has an alpha of 0.0025; the duels before it leave 0.005"),
        (lambda rows: rows[1]["plan"]["training_seeds"].__setitem__(0, USED), f"training seed {USED} of duel 3"),
        (lambda rows: rows[0]["pairs"][0].update(winner=0.99), "the winner's mean score is given as 0.99"),
        (lambda rows: rows[0]["claim"].update(p_greater=0.001), "additions.0.claim.p_greater"),
        (lambda rows: rows[0]["plan"]["winner"].update(rank=3), "compares other settings"),
    ):
        content = read_json(path)
        change(content["additions"])
        for row in content["additions"]:
            row["plan_sha256"] = hash_of(row["plan"])
        content["seal"] = hash_of({k: v for k, v in content.items() if k != "seal"})
        write_json(folder / "forged" / "certificate.json", content)
        found = certificate.verify(folder / "forged" / "certificate.json")
        assert any(said in line for line in found), (said, found)


@pytest.mark.slow
def test_an_addition_killed_in_the_middle_goes_on_by_its_plan_and_is_watched(asked: Path) -> None:
    _play(asked)
    plan = proof.begin(asked, 6)
    written, before = (asked / "confirm" / "plan-2.json").read_bytes(), _told(asked)
    process = scripted.begin(asked)
    until = time.monotonic() + 300
    while len(_told(asked)) < len(before) + 3:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    psutil.wait_procs(children, timeout=60)
    told = _told(asked)
    shown = view.read(asked)
    watched = duel_view.read(shown)
    assert watched is not None and [f.planned for f in watched.fights if f.kind == "pair"] == [6]
    assert watched.current.kind == "pair" and "Pair" in duel_view.line(watched)
    assert proof.offer(asked).refusal == "the session is not done"

    summary = _play(asked)

    assert (asked / "confirm" / "plan-2.json").read_bytes() == written
    assert told.items() <= _told(asked).items(), "nothing was lost or told anew"
    assert tuple(p.seed for p in newest_pairs(summary)) == plan.training_seeds
    assert summary.verdict.kind == "config"
    _held(asked)
    done = view.read(asked)
    assert summary.winner is not None
    drawn = bracket_view.lay_out(done, load(asked), winner=summary.winner.config, seeds=plan.training_seeds)
    cells = [lane.last for lane in drawn.lanes if lane.id == drawn.winner]
    assert [(c.won, c.pairs) for c in cells] == [(6, 6)] and drawn.columns[-1].seeds == 6


@pytest.mark.slow
def test_where_the_baseline_won_there_is_nothing_to_prove(tmp_path: Path, dataset: Path, own_trainer: None) -> None:
    class Contrary(scripted.ScriptedJudge):
        def _look(self, sample: Sample) -> float:
            return 1 - super()._look(sample)

    folder = _session(tmp_path, dataset, 2)
    summary = _play(folder, Contrary())
    if summary.verdict.kind == "baseline_leads":
        assert proof.offer(folder).refusal == "the baseline won the finals, so there is nothing to prove"
    with Lock(folder):
        assert proof.offer(folder).refusal == "the session is running"
    write_progress(folder, Progress("failed", "finals"))
    assert proof.offer(folder).refusal == "the session is not done"


def _told(folder: Path) -> dict[str, str]:
    store = Store(folder)
    try:
        return {r.trial.id: f"{r.outcome} {r.score}" for r in store.results(Round.CONFIRMATION)}
    finally:
        store.close()
