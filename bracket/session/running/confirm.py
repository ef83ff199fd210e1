"""The confirmation: winner against baseline on prompts and seeds that took no part in choosing, ended when decided.

`duel.course` says which units count and whether it is over; here they are made.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from bracket.domain import Round, Sample, TrialResult
from bracket.errors import JudgeError
from bracket.files import write_json
from bracket.report.claims.again import Standing
from bracket.session.duel import again
from bracket.session.duel import course as duel
from bracket.session.duel.blind import Control, score_mixed
from bracket.session.duel.plan import BASE, FOLDER, PLAN, RUNNER_UP, DuelPlan, plan_of, read_plan
from bracket.session.duel.stamp import stamp
from bracket.session.evaluate import keep_judgements
from bracket.session.job import Context
from bracket.session.running import stages
from bracket.session.running.drawing import Drawing, draw
from bracket.session.running.judging import patiently
from bracket.session.running.rounds import RoundRunner
from bracket.trainers.base import drawn_in

log = logging.getLogger(__name__)

NO_COMMON_SEED = "on no training seed did both winner and baseline end well"
_LOOK_SECONDS = 0.5
"""Drawn pictures are looked for this often."""


def fix_plan(runner: RoundRunner) -> DuelPlan | None:
    """The plan of the confirmation, written down before its first picture is drawn; a resume keeps it as it is.

    The certificate holds it and its hash, so that nobody need take on trust that prompts, seeds and pairs were chosen
    before their outcome was known. None where there is nothing to confirm.
    """
    context = runner.context
    kept = read_plan(context.folder)
    if kept is not None:
        return kept
    judge, standing = f"{runner.judge.name} {runner.judge.fingerprint}", again.standing_of(context)
    plan = plan_for(context, runner.store.results(Round.FINALS), judge, standing)
    if plan is not None:
        for words in standing.words:
            log.info("%s", words)
        write_json(context.folder / PLAN, replace(plan, planned=again.now()).as_dict())
        if context.settings.confirmation.stamp and (why := stamp(context.folder)):
            log.warning("the plan has no time stamp: %s", why)
    return plan


def plan_for(
    context: Context, finals: Sequence[TrialResult], judge: str = "", standing: Standing | None = None
) -> DuelPlan | None:
    """What the finals leave to compare; None where the baseline won, nothing was judged, or no prompt was kept.

    Args:
        standing: of the session among the tries of its question; by default as one that was judged again has it, or as
            if there were no others.
    """
    found = stages.duellists(finals)
    if found is None or found[0].origin == "baseline" or not context.dataset.verdict_prompts:
        return None
    second = stages.runner_up(finals) if context.settings.confirmation.runner_up else None
    standing = standing or again.marked(context.folder) or again.alone(context)
    return plan_of(context, found[0].config, second.config if second else None, judge, standing)


def draw_duel(runner: RoundRunner, plan: DuelPlan) -> None:
    """Draw and judge the verdict prompts from the arms' checkpoints until the duel is over, and all that shows what is
    kept of what the base could; nothing is done twice.

    Pictures the judge can't give a score (a batch it voided, a question it refused) leave the duel open, which the log
    and the judge's remarks say.

    Raises:
        TrainerError: the trainer's own sampling program failed, with the end of its log.
        JudgeError: the judge can't work at all.
        Stopped: the session was asked to stop.
    """
    folder = runner.context.folder / FOLDER
    arms = duellists(plan, runner.store.results(Round.FINALS))
    if not arms:
        log.warning("the duel of the checkpoints can't be fought: %s", NO_COMMON_SEED)
        return
    bench = Bench(runner, plan, tuple(arms), stages.control(runner.context))
    kept = [Drawing(folder / name, r.checkpoint, plan.kept(name)) for name, r in arms.items()]
    if not bench.kept:  # the base's are there first: they are judged together with the arms'
        draw(runner, [Drawing(folder / BASE, None, plan.kept(BASE))])
    if not bench.over:
        draw(runner, [Drawing(folder / name, r.checkpoint, plan.drawn()) for name, r in arms.items()], bench.enough)
        if not bench.kept and runner.judge.exclusive:
            draw(runner, kept)
        bench.finish()
    if not bench.kept:
        draw(runner, kept)
        bench.finish_kept()


def duellists(plan: DuelPlan, results: Sequence[TrialResult]) -> dict[str, TrialResult]:
    """The finals' trials whose checkpoints duel: of the first training seed on which every arm ended well.

    Without such a seed the runner-up stays away; empty where winner and baseline have none either.
    """
    ranked = {name: stages.ranked_of(results, config) for name, config in plan.arms.items()}
    for names in ([*ranked], [n for n in ranked if n != RUNNER_UP]):
        rows = [r for n in names if (r := ranked[n]) is not None]
        if len(rows) == len(names) and (found := stages.common_seed(*rows)):
            return dict(zip(names, found, strict=True))
    return {}


class Bench:
    """Judges the duel's pictures, prompt after prompt in the plan's order, and says when that is enough; then those
    that show what is kept and are not judged yet.

    All pictures of a prompt are judged in one call, the bare base's among them. A judge that works beside the drawing
    judges each prompt as soon as everybody has drawn it; one that needs the GPU for itself judges all of them in one
    call once everything is drawn.

    Args:
        arms: the names of those that duel.
        control: what the judge sees with every prompt.
    """

    def __init__(self, runner: RoundRunner, plan: DuelPlan, arms: Sequence[str], control: Control) -> None:
        self._runner, self._plan, self._control = runner, plan, control
        self._arms = arms
        base = [BASE] if plan.plain else []
        self._folders = {name: runner.context.folder / FOLDER / name for name in (*arms, *base)}
        self._judged = {
            name: {(j.sample.prompt, j.sample.seed): j for j in duel.arm_judgements(folder)}
            for name, folder in self._folders.items()
        }
        self._looked = 0.0
        self._void = False

    @property
    def over(self) -> bool:
        """Whether the duel needs no more prompts."""
        return duel.course_of_prompts(self._plan, {n: list(self._judged[n].values()) for n in self._arms}).over

    @property
    def kept(self) -> bool:
        """Whether all is judged that shows what is kept."""
        return not self._next(text for text, _ in self._plan.plain)

    def enough(self) -> bool:
        """Judges the next prompt if it is drawn and the judge may look now; whether the duel is over."""
        if self._runner.judge.exclusive or time.monotonic() - self._looked < _LOOK_SECONDS:
            return False
        if not self._judge_next(self._plan.prompts):
            self._looked = time.monotonic()
            return False
        return self.over

    def finish(self) -> None:
        """Judge what was drawn and is not judged yet, as far as it is needed."""
        if self._runner.judge.exclusive:
            drawn = self._drawn()
            every = dict.fromkeys((*self._plan.pictures, *self._plan.plain))
            self._judge(drawn, [p for p in every if all(p in drawn[name] for name in self._showing(p[0]))])
        while not self.over and self._judge_next(self._plan.prompts):
            self._runner.heed_stop()

    def finish_kept(self) -> None:
        """Judge what shows how much is kept and is not judged yet."""
        while self._judge_next(text for text, _ in self._plan.plain):
            self._runner.heed_stop()

    def _judge_next(self, texts: Iterable[str]) -> bool:
        """Judge the next of these prompts in every arm; False when it is not drawn yet, there is none, or one is
        void."""
        wanted = self._next(texts)
        drawn = self._drawn() if wanted and not self._void else {}
        if not drawn or any(picture not in drawn[name] for picture in wanted for name in self._showing(picture[0])):
            return False
        self._judge(drawn, wanted)
        return not self._void

    def _next(self, texts: Iterable[str]) -> list[tuple[str, int]]:
        """The pictures of the first of these prompts that some arm has no judgement of."""
        every = dict.fromkeys((*self._plan.pictures, *self._plan.plain))
        for text in dict.fromkeys(texts):
            wanted = [picture for picture in every if picture[0] == text]
            if self._lacks(text, wanted):
                return wanted
        return []

    def _showing(self, text: str) -> list[str]:
        return [name for name in self._plan.showing(text) if name in self._folders]

    def _lacks(self, text: str, pictures: Sequence[tuple[str, int]]) -> bool:
        return any(picture not in self._judged[name] for name in self._showing(text) for picture in pictures)

    def _drawn(self) -> dict[str, dict[tuple[str, int], Sample]]:
        trainer = self._runner.context.trainer
        return {name: {(s.prompt, s.seed): s for s in drawn_in(trainer, f)} for name, f in self._folders.items()}

    def _judge(
        self, drawn: Mapping[str, Mapping[tuple[str, int], Sample]], pictures: Sequence[tuple[str, int]]
    ) -> None:
        """Judge these pictures of every arm in one call. A prompt that a kill left half judged is judged whole again,
        so that its arms are compared as the judge sees them at one time."""
        units: dict[str, dict[str, list[Sample]]] = {}
        for text in dict.fromkeys(text for text, _ in pictures):
            of_text = [picture for picture in pictures if picture[0] == text]
            if self._lacks(text, of_text):
                units[text] = {name: [drawn[name][p] for p in of_text] for name in self._showing(text)}
        if self._void or not units:
            return

        def order(sample: Sample) -> list[str]:
            return self._plan.order(sample.prompt, sample.seed, arms=self._showing(sample.prompt))

        try:
            judge = self._runner.judge
            found = patiently(lambda: score_mixed(judge, units, order, self._control), self._runner)
        except JudgeError as error:
            if error.path is None:
                raise
            log.warning("the duel of the checkpoints stays open: %s", error)
            self._void = True
            return
        for name, folder in self._folders.items():
            if shown := [sample for arms in units.values() for sample in arms.get(name, ())]:
                self._judged[name] |= {(s.prompt, s.seed): found[s.path] for s in shown}
                keep_judgements(folder, list(self._judged[name].values()))
