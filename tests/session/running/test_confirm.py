"""The duel as it is made: what is drawn, judged, stopped, and not done twice. The last tests run real processes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from bracket.domain import Judgement, Outcome, Prompt, Round, Sample, Score, Trial, TrialResult
from bracket.errors import JudgeError, TrainerError
from bracket.files import append_json, read_json, write_text
from bracket.report.claims import certificate
from bracket.runner.processes.launched import Exit
from bracket.session import view
from bracket.session.duel.course import OVER, arm_judgements, course_of_prompts, read_plain
from bracket.session.duel.plan import PLAN, DuelPlan, read_plan
from bracket.session.running import confirm, drawing, launch, stages
from bracket.session.running.rounds import RoundRunner, Stopped
from bracket.session.store import Store
from bracket.trainers.base import read_samples
from tests.session import scripted

TEXTS = tuple(f"prompt {i:02d}" for i in range(12))
WINS, EVEN = 0.9, 0.5
"""Scores that checkpoints of these names draw."""


@dataclass
class Drawer:
    """A program that draws a picture each time somebody asks whether it has ended."""

    out: Path
    prompts: list[Prompt]
    score: float
    breaks_after: int = 1000
    stopped: bool = False

    def poll(self) -> object | None:
        if self.stopped or not self.prompts or not self.breaks_after:
            return Exit(0, None, 0.0)
        prompt = self.prompts.pop(0)
        self.breaks_after -= 1
        path = self.out / f"{prompt.seed}.png"
        write_text(path, str(self.score))
        append_json(
            self.out / "index.jsonl", {"path": path.name, "prompt": prompt.text, "seed": prompt.seed, "step": 1}
        )
        return None

    def stop(self) -> None:
        self.stopped = True


class Judge:
    """Reads a picture's score from its file, and keeps what it was asked."""

    name, fingerprint = "reader", "1"

    def __init__(self, *, exclusive: bool = False, void: str = "") -> None:
        self.exclusive, self.void = exclusive, void
        self.asked: list[list[Sample]] = []

    def score(self, samples: Sequence[Sample]) -> list[Judgement]:
        self.asked.append(list(samples))
        if bad := next((s for s in samples if s.prompt == self.void), None):
            raise JudgeError("this batch is void", path=bad.path)
        return [Judgement(s, "reader", float(s.path.read_text()), {}) for s in samples]

    def park(self) -> None:
        pass


@dataclass
class Place:
    """A session's folder with what a confirmation asks of a runner."""

    folder: Path
    judge: Judge = field(default_factory=Judge)
    slots: int = 2
    stop_after: int = 1000
    breaks_after: int = 1000
    drawers: list[Drawer] = field(default_factory=list)
    note: str = ""

    def runner(self, plan: DuelPlan) -> RoundRunner:
        trainer = SimpleNamespace(find_drawn=read_samples, draw=self._draw)
        context = SimpleNamespace(folder=self.folder, trainer=trainer, verdict_job=lambda: None)
        results = [self._finalist(name, config) for name, config in plan.arms.items()]
        made = SimpleNamespace(
            context=context,
            judge=self.judge,
            executor=SimpleNamespace(submit=lambda launch, _: self.drawers.append(launch) or launch),
            store=SimpleNamespace(results=lambda _: results),
            free_slots=lambda busy: list(range(self.slots - len(busy))),
            heed_stop=self._heed,
            report=lambda: None,
            note="",
        )
        return cast(RoundRunner, made)

    def _finalist(self, name: str, config: Any) -> TrialResult:
        trial = Trial(f"finals-{name}", Round.FINALS, name, config, 1, 1, self.folder / name)
        total = {"winner": 0.1, "runner_up": 0.2, "baseline": 0.3}[name]
        return TrialResult(trial, Outcome.OK, score=Score(total, total, total), checkpoint=Path(name))

    def _draw(self, job: Any, checkpoint: Path | None, prompts: Sequence[Prompt], out: Path) -> Drawer:
        level = WINS if checkpoint and checkpoint.name == "winner" else EVEN
        return Drawer(out, list(prompts), level, self.breaks_after)

    def _heed(self) -> None:
        self.stop_after -= 1
        if self.stop_after < 0:
            raise Stopped

    def drawn(self, arm: str) -> int:
        return len(list((self.folder / "confirm" / arm).rglob("*.png")))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirm, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(drawing, "POLL_SECONDS", 0.0)


@pytest.fixture
def plan() -> DuelPlan:
    return DuelPlan(
        winner={"lr": 2},
        baseline={"lr": 1},
        alpha=0.05,
        prompts=TEXTS,
        pictures=tuple((text, 10 * i + s) for i, text in enumerate(TEXTS) for s in range(2)),
        pairs=0,
        training_seeds=(),
    )


def _counted(place: Place, plan: DuelPlan) -> int:
    arms = {name: arm_judgements(place.folder / "confirm" / name) for name in plan.arms}
    return len(course_of_prompts(plan, arms).counted)


def test_drawing_is_stopped_as_soon_as_the_duel_is_decided(tmp_path: Path, plan: DuelPlan) -> None:
    place = Place(tmp_path)
    confirm.draw_duel(place.runner(plan), plan)
    counted = _counted(place, plan)
    assert counted < 12 and all(d.stopped for d in place.drawers)
    assert place.drawn("winner") < 24 and place.drawn("baseline") < 24
    asked = [sorted({s.prompt for s in group}) for group in place.judge.asked]
    assert asked == [[text] for text in TEXTS[:counted]], "one prompt at a time, both arms together, in order"
    assert {len(group) for group in place.judge.asked} == {4}


def test_a_judge_that_needs_the_gpu_judges_everything_at_the_end_and_the_same_prompts_count(
    tmp_path: Path, plan: DuelPlan
) -> None:
    beside, alone = Place(tmp_path / "a"), Place(tmp_path / "b", Judge(exclusive=True))
    for place in (beside, alone):
        confirm.draw_duel(place.runner(plan), plan)
    assert [len(group) for group in alone.judge.asked] == [48]
    assert alone.drawn("winner") == 24
    assert _counted(beside, plan) == _counted(alone, plan) < 12


def test_with_one_worker_the_second_arm_is_stopped_when_it_is_decided(tmp_path: Path, plan: DuelPlan) -> None:
    place = Place(tmp_path, slots=1)
    confirm.draw_duel(place.runner(plan), plan)
    assert place.drawn("winner") == 24 and place.drawn("baseline") < 24


def test_a_resume_draws_and_judges_only_what_is_missing(tmp_path: Path, plan: DuelPlan) -> None:
    place = Place(tmp_path, stop_after=5)
    with pytest.raises(Stopped):
        confirm.draw_duel(place.runner(plan), plan)
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.png")}
    judged = sum(len(group) for group in place.judge.asked)
    assert 0 < len(kept) < 24 and judged > 0
    again = Place(tmp_path)
    confirm.draw_duel(again.runner(plan), plan)
    assert {p: p.stat().st_mtime_ns for p in kept} == kept, "no picture was drawn twice"
    assert not {s.path for group in place.judge.asked for s in group} & {s.path for g in again.judge.asked for s in g}
    assert (tmp_path / "confirm" / "winner" / "part-2").is_dir()
    whole = Place(tmp_path / "other")
    confirm.draw_duel(whole.runner(plan), plan)
    assert _counted(again, plan) == _counted(whole, plan)
    third = Place(tmp_path)
    confirm.draw_duel(third.runner(plan), plan)
    assert not third.drawers and not third.judge.asked, "a duel that is over is left alone"


def test_a_drawing_that_fails_says_why_and_what_it_drew_stays(tmp_path: Path, plan: DuelPlan) -> None:
    place = Place(tmp_path, Judge(exclusive=True), breaks_after=3)
    write_text(tmp_path / "confirm" / "winner.log", "RuntimeError: no kernel image\n")
    with pytest.raises(TrainerError, match="no kernel image"):
        confirm.draw_duel(place.runner(plan), plan)
    assert place.drawn("winner") == 3 and all(d.stopped or not d.breaks_after for d in place.drawers)


def test_a_void_picture_leaves_the_duel_open_and_everything_is_drawn_for_a_person(
    tmp_path: Path, plan: DuelPlan
) -> None:
    place = Place(tmp_path, Judge(void=TEXTS[2]))
    confirm.draw_duel(place.runner(plan), plan)
    assert _counted(place, plan) == 2 and place.drawn("winner") == place.drawn("baseline") == 24


def test_the_runner_up_draws_too_where_the_plan_names_it(tmp_path: Path, plan: DuelPlan) -> None:
    three = replace(plan, runner_up={"lr": 3})
    place = Place(tmp_path, slots=3)
    confirm.draw_duel(place.runner(three), three)
    assert {d.out.name for d in place.drawers} == {"winner", "baseline", "runner_up"}
    assert len(arm_judgements(tmp_path / "confirm" / "runner_up")) > 0


@pytest.fixture
def keeping(plan: DuelPlan) -> DuelPlan:
    """The same plan, of whose prompts the last is without the trigger word, and another beside it."""
    plain = ((TEXTS[11], 110), (TEXTS[11], 111), ("beside it", 500), ("beside it", 501))
    return replace(plan, runner_up={"lr": 3}, plain=plain, order_seed=4)


def test_what_is_kept_is_told_whatever_ends_the_duel_and_the_base_is_judged_among_the_arms(
    tmp_path: Path, keeping: DuelPlan
) -> None:
    place = Place(tmp_path, slots=3)
    confirm.draw_duel(place.runner(keeping), keeping)
    counted = _counted(place, keeping)
    assert counted < 11, "it was over before it came to the prompt without the trigger word"
    found = read_plain(tmp_path, keeping)
    assert (
        found
        and [[(j.sample.prompt, j.sample.seed) for j in arm] for arm in vars(found).values()] == [[*keeping.plain]] * 3
    )
    assert ({j.score for j in found.winner}, {j.score for j in found.base}) == ({WINS}, {EVEN})
    arms = {"winner", "baseline", "base"}
    shown = [[s.drawing.name for s in group] for group in place.judge.asked[-2:]]
    assert [len(group) for group in shown] == [8, 6] and [set(g) for g in shown] == [{*arms, "runner_up"}, arms]
    again = Place(tmp_path, slots=3)
    confirm.draw_duel(again.runner(keeping), keeping)
    assert not again.drawers and not again.judge.asked
    (tmp_path / "confirm" / "base" / "judgements.jsonl").unlink()
    assert read_plain(tmp_path, keeping) is None


def test_a_judge_that_needs_the_gpu_sees_the_base_in_the_same_call(tmp_path: Path, keeping: DuelPlan) -> None:
    place = Place(tmp_path, Judge(exclusive=True), slots=3)
    confirm.draw_duel(place.runner(keeping), keeping)
    assert [len(group) for group in place.judge.asked] == [3 * 24 + 2 + 6]
    assert read_plain(tmp_path, keeping) is not None


def test_an_earlier_plan_knows_nothing_of_what_is_kept(keeping: DuelPlan) -> None:
    said = keeping.as_dict()
    assert DuelPlan.from_dict(said) == keeping
    old = DuelPlan.from_dict({k: v for k, v in said.items() if k not in ("plain", "keep_at_least")})
    assert (old.plain, old.keep_at_least) == ((), 0)


def test_who_is_runner_up_and_which_checkpoints_duel(tmp_path: Path) -> None:
    def ended(name: str, lr: int, seed: int, total: float, outcome: Outcome = Outcome.OK) -> TrialResult:
        trial = Trial(f"{name}-{seed}", Round.FINALS, name, {"lr": lr}, seed, 1, tmp_path)
        return TrialResult(trial, outcome, score=Score(total, total, total) if outcome is Outcome.OK else None)

    results = [
        *(ended("baseline", 1, seed, 0.2) for seed in (0, 1)),
        *(ended("finalist", 2, seed, 0.1) for seed in (0, 1)),
        ended("finalist", 3, 0, 0.0, Outcome.DIVERGED),
        ended("finalist", 3, 1, 0.15),
        *(ended("finalist", 4, seed, 0.3) for seed in (0, 1)),
    ]
    second = stages.runner_up(results)
    assert second and second.config == {"lr": 4}, "a config that melts on a seed is not ranked"
    plan = cast(Any, SimpleNamespace(arms={"winner": {"lr": 2}, "baseline": {"lr": 1}, "runner_up": {"lr": 3}}))
    assert {r.trial.seed for r in confirm.duellists(plan, results).values()} == {1}
    alone = [r for r in results if r.trial.config != {"lr": 3}]
    assert set(confirm.duellists(plan, alone)) == {"winner", "baseline"}, "the runner-up stays away"


# Whole sessions


@pytest.fixture
def session(tmp_path: Path, dataset: Path, own_trainer: None) -> Path:
    """A session whose finals are over in the ledger, with the plan of a duel of seven pairs still to be trained."""
    asked = scripted.settings_for(dataset, configs=2, seeds=1, pairs=5)
    search = asked.search.model_copy(update={"strategy": "screen", "rungs": 1})
    return launch.create(asked.model_copy(update={"search": search}), tmp_path / "s")


@pytest.mark.slow
def test_a_duel_killed_in_the_middle_goes_on_by_its_plan_and_repeats_nothing(session: Path) -> None:
    process = scripted.begin(session)
    until = time.monotonic() + 900
    while len(_told(session)) < 3:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    psutil.wait_procs(children, timeout=60)
    plan, told = (session / PLAN).read_bytes(), _told(session)
    drawn = {p: p.stat().st_mtime_ns for p in (session / "confirm").rglob("*.png")}

    summary = scripted.play(session)

    assert (session / PLAN).read_bytes() == plan
    assert {p: p.stat().st_mtime_ns for p in drawn} == drawn
    assert told.items() <= _told(session).items(), "nothing was lost or told anew"
    assert len({p.seed for p in summary.pairs}) == len(summary.pairs) == 5
    assert summary.verdict.kind == "config"
    assert certificate.verify(session / "report" / "certificate.json") == []


@pytest.mark.slow
def test_a_hopeless_duel_of_the_settings_spares_the_other_pairs(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Moody(scripted.ScriptedJudge):
        """Likes the winner until it is trained afresh."""

        def _look(self, sample: Sample) -> float:
            value: float = super()._look(sample)
            return 1 - value if "confirmation-" in str(sample.path) else value

    summary = scripted.play(session, judge=Moody())

    assert len(summary.pairs) == 1 and summary.pairs[0].difference < 0
    trials = [t for t in view.read(session).trials if t.round is Round.CONFIRMATION]
    assert len(trials) <= 4, "what ran side by side when it was over was stopped, and no more begun"
    assert {t.cause for t in trials if t.outcome is Outcome.STOPPED} <= {OVER}
    progress = read_json(session / "state.json")
    assert progress["done"] == progress["planned"], "what is spared is no longer planned"
    assert certificate.verify(session / "report" / "certificate.json") == []
    before = _told(session)
    scripted.play(session, judge=Moody())
    assert _told(session) == before, "a duel that is over stays over"
    found = read_plan(session)
    assert found and found.pairs == 5


def _told(folder: Path) -> dict[str, str]:
    """How each ended training of the duel was told."""
    if not (folder / "study.db").exists():
        return {}
    store = Store(folder)
    try:
        return {r.trial.id: f"{r.outcome} {r.score}" for r in store.results(Round.CONFIRMATION)}
    finally:
        store.close()
