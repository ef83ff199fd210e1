"""How the arms of a duel are shown to the judge: all of a unit in one call, mixed by chance, with a control picture.

A judge whose mood drifts favours whatever it sees later. Here each picture of one arm stands next to the other arms' of
the same prompt and sample seed, in an order drawn by chance for each, so that drift falls on all alike. The judge sees
pictures and prompts, never whose they are. With every unit it also sees one picture of the bare base, always the same:
how its scores move is how far the judge does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from PIL.PngImagePlugin import PngInfo

from bracket.domain import Judgement, Outcome, Sample, TrialResult
from bracket.errors import JudgeError
from bracket.files import append_json, storage_errors, whole_lines
from bracket.judges import Judge
from bracket.judges.images import open_image
from bracket.session.duel.plan import FOLDER, DuelPlan
from bracket.session.evaluate import Ended, judged, unjudged, with_judgements
from bracket.session.stills import still

log = logging.getLogger(__name__)
CONTROL = f"{FOLDER}/control.jsonl"
"""In a session's folder: what the judge said of the control picture, a line for each time it saw it."""
_COPIES = Path("cache", "control")

Arms = Mapping[str, Sequence[Sample]]
"""The pictures of one unit, by arm."""
Order = Callable[[Sample], Sequence[str]]
"""The arms in the order in which their pictures of a sample's prompt and seed are shown."""


class Control:
    """One picture that the judge sees with every unit, each time as a file of its own: what judges keep of pictures
    they know goes by the file's content, and would answer in their place.

    Args:
        folder: of the session.
        drawn: the bare base's pictures; the first of them is the one.
    """

    def __init__(self, folder: Path, drawn: Sequence[Sample] = ()) -> None:
        self._folder, self._picture, self._shown = folder, next(iter(drawn), None), 0

    def show(self) -> list[Sample]:
        """A fresh copy; [] where there is no picture, or none that can be read."""
        if self._picture is None:
            return []
        try:
            image = open_image(still(self._picture.path, self._folder)).convert("RGB")
        except JudgeError as error:
            log.warning("the control picture is left out: %s", error)
            self._picture = None
            return []
        self._shown += 1
        number = len(whole_lines(self._folder / CONTROL)) + self._shown
        copy, told = self._folder / _COPIES / f"{number}.png", PngInfo()
        told.add_text("shown", str(number))
        with storage_errors(copy):
            copy.parent.mkdir(parents=True, exist_ok=True)
            image.save(copy, pnginfo=told, compress_level=1)
        return [replace(self._picture, path=copy)]

    def keep(self, unit: str, judgement: Judgement) -> None:
        """Write down what was said of a copy."""
        line = {"unit": unit, "judge": judgement.judge, "score": judgement.score}
        append_json(self._folder / CONTROL, line)

    def leave_out(self, error: JudgeError) -> None:
        """From now on show none: the judge can't take it."""
        log.warning("the control picture is left out: %s", error)
        self._picture = None


def read_controls(folder: Path) -> tuple[float, ...]:
    """The scores of the control picture in a session's folder, in the order in which they were given."""
    lines = [line.get("score") for line in whole_lines(folder / CONTROL) if isinstance(line, dict)]
    return tuple(float(score) for score in lines if isinstance(score, int | float))


def score_mixed(judge: Judge, units: Mapping[str, Arms], order: Order, control: Control) -> dict[Path, Judgement]:
    """What the judge says of all pictures of some units, asked in one call; by the picture's path.

    Raises:
        JudgeError: as `Judge.score`.
    """
    shown: list[Sample] = []
    copies: dict[Path, str] = {}
    for unit, arms in units.items():
        copy = control.show()
        copies |= {sample.path: unit for sample in copy}
        shown += [*copy, *_mixed(arms, order)]
    if not shown:
        return {}
    try:
        found = judge.score(shown)
    except JudgeError as error:
        if error.path not in copies:
            raise
        control.leave_out(error)
        found = judge.score([sample for sample in shown if sample.path not in copies])
    finally:
        for path in copies:
            with suppress(OSError):
                path.unlink()
    for judgement in found:
        if judgement.sample.path in copies:
            control.keep(copies[judgement.sample.path], judgement)
    return {j.sample.path: j for j in found if j.sample.path not in copies}


def _mixed(arms: Arms, order: Order) -> list[Sample]:
    """Picture by picture, of each the arms' in the order that was drawn for it."""
    alike: dict[tuple[str, int], dict[str, list[Sample]]] = {}
    for arm, samples in arms.items():
        for sample in samples:
            alike.setdefault((sample.prompt, sample.seed), {}).setdefault(arm, []).append(sample)
    shown = []
    for by_arm in alike.values():
        names = order(next(iter(by_arm.values()))[0])
        shown += [sample for arm in names for sample in by_arm.get(arm, [])]
    return shown


def judge_together(
    results: Sequence[TrialResult], judge: Judge, order: Callable[..., Sequence[str]], control: Control
) -> list[TrialResult]:
    """Trainings of one seed with their pictures judged in one call; where that fails, each by itself, so that the
    picture that can't be judged costs its own training alone.

    Args:
        order: the arms in an order drawn for a unit, see `DuelPlan.order`.
    """
    arms = {r.trial.origin: r.samples for r in results if r.outcome is Outcome.OK}
    if not arms:
        return list(results)
    seed = results[0].trial.seed
    try:
        found = score_mixed(judge, {f"seed {seed}": arms}, lambda s: order(seed, s.prompt, s.seed), control)
    except JudgeError as error:
        if error.path is None:
            raise
        if len(arms) > 1:
            return [judged(r, judge) for r in results]
        return [unjudged(r, error) if r.outcome is Outcome.OK else r for r in results]
    return [with_judgements(r, [found[s.path] for s in r.samples]) if r.outcome is Outcome.OK else r for r in results]


class Pairs:
    """Trainings of a duel that ended wait here for the other arms of their seed, to be judged together.

    Args:
        told: what the ledger has of the duel.
    """

    def __init__(self, plan: DuelPlan, control: Control, told: Callable[[], Iterable[TrialResult]]) -> None:
        self._plan, self._control, self._told = plan, control, told
        self._held: dict[int, list[Ended]] = {}

    def add(self, ended: Ended) -> list[Ended]:
        """The trainings that can be judged now that this one ended, all of one seed; [] while another is awaited."""
        seed = ended.result.trial.seed
        held = self._held.setdefault(seed, [])
        held.append(ended)
        there = {e.result.trial.origin for e in held}
        there |= {r.trial.origin for r in self._told() if r.trial.seed == seed}
        awaited = seed in self._plan.training_seeds and not there >= set(self._plan.arms)
        return [] if awaited else self._held.pop(seed)

    def rest(self) -> list[list[Ended]]:
        """Those whose others no longer come."""
        held, self._held = list(self._held.values()), {}
        return held

    def judge(self, results: Sequence[TrialResult], judge: Judge) -> list[TrialResult]:
        """See `judge_together`."""
        return judge_together(results, judge, self._plan.order, self._control)
