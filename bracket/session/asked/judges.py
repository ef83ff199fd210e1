"""The judge a session asked for: one, or several as a panel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bracket.dataset.reading.prompts import has_word, without_trigger
from bracket.domain import DatasetSplit, Problem, Sample
from bracket.judges import Judge, check_judge, make_judge
from bracket.judges.panel import Panel
from bracket.presets import Preset
from bracket.session.asked.settings import JudgeSettings

CACHE = "judge.sqlite"


MEASURES = ("clip", "reference")
"""Kinds that measure likeness, variety and copies; without one of them the report would not have these."""


def judges_of(asked: Sequence[JudgeSettings], preset: Preset) -> tuple[JudgeSettings, ...]:
    """A session's judges, with the reference metrics beside them (which then count nothing) where nobody measures."""
    if any(j.kind in MEASURES for j in asked):
        return tuple(asked)
    return (*asked, JudgeSettings(kind="reference", model=preset.judge_model(), share=0.0))


def plain_prompts(judges: Sequence[JudgeSettings], dataset: DatasetSplit, most: int) -> tuple[str, ...]:
    """Prompts, `most` at most, that are also drawn without the trigger word, for a judge that looks at what leaks into
    such pictures."""
    if not dataset.trigger_word or all(j.kind != "reference" for j in judges):
        return ()
    named = [p for p in dataset.prompts if has_word(p, dataset.trigger_word)]
    plain = [without_trigger(p, dataset.trigger_word, dataset.class_word) for p in named]
    fresh = [p for p in dict.fromkeys(plain) if p and p not in dataset.prompts]
    return tuple(fresh[:most])


def session_judge(
    judges: Sequence[JudgeSettings], dataset: DatasetSplit, cache: Path, before: Sequence[Sample] = ()
) -> Judge:
    """A session's judge of all that it asked for; no model is loaded yet.

    Args:
        cache: the folder its answers are kept in.
        before: the bare base's pictures, for a judge that looks at what a training changed beside the concept.

    Raises:
        JudgeError: one of them can't be made; says what to do.
    """
    made: list[tuple[Judge, float]] = []
    try:
        for asked in judges:
            made.append((make_judge(asked, dataset, cache / CACHE, before), asked.share))
        return made[0][0] if len(made) == 1 else Panel(made)
    except BaseException:
        for judge, _ in made:
            judge.close()
        raise


def judge_problems(judges: Sequence[JudgeSettings], dataset: DatasetSplit) -> list[Problem]:
    """What keeps the judges from working, their look at the dataset included; loads no model.

    Raises:
        JudgeError: a judge can't be made.
    """
    found = [p for asked in judges for p in check_judge(asked)]
    if all(p.level != "error" for p in found):
        with TemporaryDirectory(prefix="bracket-") as folder:
            session_judge(judges, dataset, Path(folder)).close()
    return found
