"""Judges look at samples and say how good they are. `make_judge` gives one; only its use loads a model."""

from __future__ import annotations

from pathlib import Path

from bracket.domain import DatasetSplit, Problem
from bracket.errors import JudgeError
from bracket.judges.base import (
    Judge,
    JudgeSettings,
    judgement_from_json,
    judgement_to_json,
    nearest,
    resolve_weights,
)
from bracket.judges.clip import NAME as CLIP
from bracket.judges.clip import WEIGHTS, ClipJudge
from bracket.judges.model import check_model

__all__ = ["KINDS", "Judge", "check_judge", "judgement_from_json", "judgement_to_json", "make_judge"]

KINDS = (CLIP,)


def make_judge(settings: JudgeSettings, dataset: DatasetSplit, cache: Path) -> Judge:
    """The judge that the settings name. Loads no model yet.

    Args:
        cache: the file its cache lives in; made when it is missing.

    Raises:
        JudgeError: there is no such kind, its model is missing or no CLIP, a weight names no axis, or no training
            picture has a caption.
        StorageError: the cache can't be opened.
    """
    for problem in check_judge(settings):
        if problem.level == "error":
            raise JudgeError(problem.message, path=problem.path, remedy=problem.remedy)
    return ClipJudge(settings.model, dataset, cache, settings.weights, settings.batch_size)


def check_judge(settings: JudgeSettings) -> list[Problem]:
    """What keeps the judge of these settings from working, found without loading anything heavy."""
    if settings.kind not in KINDS:
        remedy = nearest(settings.kind, KINDS, "judges")
        return [Problem("error", f"there is no judge called {settings.kind!r}", remedy)]
    problems = check_model(settings.model)
    try:
        resolve_weights(WEIGHTS, settings.weights)
    except JudgeError as error:
        problems.append(Problem("error", error.message, error.remedy))
    return problems
