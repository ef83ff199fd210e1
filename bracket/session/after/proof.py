"""More evidence for the settings of a finished session: fresh pairs of winner and baseline, without searching anew.

Both doors ask here. What an addition is held to and why it counts its own pairs alone, `stats.duel.tries` says.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path

from bracket.domain import Round
from bracket.errors import SessionBusy, SettingsError
from bracket.files import write_json
from bracket.report.claims.again import alpha_after, could_claim
from bracket.report.words import counted, duration
from bracket.session.asked import foreign
from bracket.session.asked.settings import load
from bracket.session.control import Lock, Progress, read_progress, running_process, write_progress
from bracket.session.duel import again
from bracket.session.duel.calibrate import calibrate
from bracket.session.duel.fight import read_fight, verdict_of
from bracket.session.duel.more import further, next_plan, read_plans
from bracket.session.duel.plan import DuelPlan
from bracket.session.job import slots_of
from bracket.session.planning.plan import PlannedRound, speed_of, with_pairs
from bracket.session.running.stages import duellists
from bracket.session.store import SOON, Store
from bracket.stats.duel.sequential import split_alpha
from bracket.stats.duel.tries import can_claim, fewest_pairs

MOST = 100
"""Pairs of one addition."""
_begun = threading.Lock()


@dataclass(frozen=True)
class Offer:
    """Whether pairs can be added to a session, and what they are held to.

    Attributes:
        refusal: why none can be, as a sentence without its stop; "" where they can. remedy: what to do then.
        alpha: of the next duel of the settings; live_share: the part of it that watching may spend.
        tries: duels of the settings so far that could have ended in a claim, in other sessions of the question too.
        fewest: pairs below which it can't end in a claim; suggested: at least those, and as many as the preset plans.
    """

    refusal: str = ""
    remedy: str = ""
    alpha: float = 0.0
    live_share: float = 0.0
    tries: int = 0
    fewest: int = 0
    suggested: int = 0

    def needed_p(self, pairs: int) -> float:
        """What the exact test of so many pairs is held to."""
        return split_alpha(pairs, False, self.alpha, 1, self.live_share).final

    def wants(self, pairs: int) -> str:
        """What a claim over so many pairs takes, in words."""
        needed, least = f"{self.needed_p(pairs):.3g}", f"{0.5**pairs:.2g}"
        held = f"A claim over {counted(pairs, 'pair')} needs p ≤ {needed}; the smallest they can show is {least}."
        if not self.tries:
            return held
        earlier = "An earlier duel" if self.tries == 1 else f"{self.tries} earlier duels"
        return f"{held} {earlier} asked the same and leave{'s' if self.tries == 1 else ''} no more: trying again costs."

    def problem(self, pairs: int) -> str:
        """Why so many pairs can't be added; "" where they can."""
        if pairs > MOST:
            return f"{pairs} pairs are more than can be added at once; {MOST} can"
        if pairs < self.fewest or not can_claim(pairs, alpha=self.alpha, live_share=self.live_share):
            held = f" at alpha {self.alpha:.3g}"
            return f"{counted(max(pairs, 0), 'pair')} can't end in a claim{held}; at least {self.fewest} are needed"
        return ""

    def heed(self, folder: Path, pairs: int) -> None:
        """Raises SettingsError where so many pairs can't be added to the session in `folder`."""
        if self.refusal:
            raise SettingsError(self.refusal, path=folder, remedy=self.remedy)
        if problem := self.problem(pairs):
            raise SettingsError(problem, remedy=f"Ask for {self.fewest} to {MOST}.")


@dataclass(frozen=True)
class Cost:
    """What an addition takes: its trainings, and how many measured trials the time rests on (0: a guess)."""

    trainings: PlannedRound
    measured: int

    @property
    def words(self) -> str:
        """ "12 trainings of 600 steps, 7200 steps in all: about 2 h 5 min, from 14 measured trials." """
        t = self.trainings
        basis = f"from {counted(self.measured, 'measured trial')}" if self.measured else "a guess"
        steps = f"{counted(t.trials, 'training')} of {counted(t.steps, 'step')}, {counted(t.all_steps, 'step')} in all"
        return f"{steps}: about {duration(t.seconds)}, {basis}."


def offer(folder: Path) -> Offer:
    """What can be added to the session in `folder`.

    Raises:
        BracketError: the session can't be read.
    """
    if running_process(folder) is not None:
        return Offer("the session is running", "Add proof once it is done.")
    return _offer(folder)


def cost(folder: Path, pairs: int) -> Cost:
    """What so many pairs take, at the speed that is known of this machine.

    Raises:
        BracketError: the session can't be read, or its device is gone.
    """
    settings = load(folder)
    slots = slots_of(settings)
    speed = speed_of(settings.load_preset(), slots[0].kind)
    nothing = PlannedRound(Round.CONFIRMATION, 0, settings.finals.steps, 0.0)
    return Cost(with_pairs(nothing, pairs, speed, len(slots)), speed.measured)


def begin(folder: Path, pairs: int) -> DuelPlan:
    """Fix the plan of so many more pairs. The session then goes on with them when it is run or resumed.

    Raises:
        SettingsError: nothing can be added, or so many pairs can't end in a claim.
        SessionBusy: the session is running.
        StorageError: the plan can't be written.
    """
    settings = load(folder)
    foreign.heed(settings, folder)
    if not _begun.acquire(blocking=False):
        raise SessionBusy("another addition is being planned", path=folder, remedy="Look what came of it.")
    try:
        with Lock(folder):
            _offer(folder).heed(folder, pairs)
            elsewhere, begun = again.since(folder), _begun_seeds(folder)
            plan = further(read_plans(folder), pairs, settings.seed, begun, settings.seed_edition, elsewhere)
            plan = replace(plan, planned=again.now())
            _say_planned(folder, pairs)  # first, so that a kill leaves nothing that Resume does not mend
            write_json(next_plan(folder), plan.as_dict())
            return plan
    finally:
        _begun.release()


def _offer(folder: Path) -> Offer:
    settings = load(folder)
    progress = read_progress(folder)
    if progress is None or progress.state != "done":
        return Offer("the session is not done", "Resume it first.")
    plans, store = read_plans(folder), Store(folder, patience=SOON)
    try:
        refusal, remedy = _nothing_to_prove(folder, store)
    finally:
        store.close()
    if refusal:
        return Offer(refusal, remedy)
    written, elsewhere = [plan.as_dict() for plan in plans], again.since(folder)
    alpha, share = alpha_after(written, elsewhere), plans[0].live_share
    fewest = fewest_pairs(alpha=alpha, live_share=share)
    suggested = max(fewest, settings.load_preset().rounds.pairs)
    tries = sum(map(could_claim, written)) + sum(one.settings for one in elsewhere)
    return Offer("", "", alpha, share, tries, fewest, suggested)


def _nothing_to_prove(folder: Path, store: Store) -> tuple[str, str]:
    """Why more pairs would be in vain, and what to do instead; "" where they would not."""
    found, fight = duellists(store.results(Round.FINALS)), read_fight(folder, store)
    if found is None:
        return "the finals left nothing that can be compared with the baseline", "See in the report what failed."
    if found[0].origin == "baseline":
        return "the baseline won the finals, so there is nothing to prove", "Search again, in another space."
    if again.marked(folder) is not None:
        return "it was judged again, which is no new evidence", "Add proof to the session whose trainings these are."
    if fight.plan is None:
        return (
            "no prompts were kept for the verdict, so nothing fresh can be judged",
            "Keep some in the next session.",
        )
    calibration = calibrate(folder, store, fight.duel)
    verdict = verdict_of(*found, fight, None, 0.0)
    if verdict.about == "config" and verdict.kind == "config":
        return "the settings are proved already", ""
    if verdict.about == "config":
        return "the duel has shown that the baseline's settings are better", "Stay with the baseline, or search again."
    if calibration is not None and not calibration.gate.may_crown:
        why = calibration.gate.reason
        return f"more of this judge's scores would not count: {why}", "Judge with another one first."
    return "", ""


def _begun_seeds(folder: Path) -> set[int]:
    store = Store(folder, patience=SOON)
    try:
        return {trial.seed for trial in store.begun(Round.CONFIRMATION)}
    finally:
        store.close()


def _say_planned(folder: Path, pairs: int) -> None:
    last = read_progress(folder)
    done, planned = (last.done, last.planned) if last else (0, 0)
    words = f"{counted(pairs, 'more pair')} planned for the settings. Resume to train them."
    write_progress(folder, Progress("stopped", "confirmation", done, planned + 2 * pairs, None, words))
