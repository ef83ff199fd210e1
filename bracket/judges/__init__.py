"""Judges look at samples and say how good they are. `make_judge` gives one; only its use loads a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bracket.domain import DatasetSplit, Problem, Sample
from bracket.errors import JudgeError, PresetError
from bracket.judges.asking import Asker
from bracket.judges.base import (
    Judge,
    JudgeSettings,
    judgement_from_json,
    judgement_to_json,
    nearest,
    resolve_weights,
)
from bracket.judges.embeddings.clip import NAME as CLIP
from bracket.judges.embeddings.clip import WEIGHTS, ClipJudge
from bracket.judges.embeddings.model import check_model
from bracket.judges.embeddings.reference import NAME as REFERENCE
from bracket.judges.embeddings.reference import WEIGHTS as REFERENCE_WEIGHTS
from bracket.judges.embeddings.reference import ReferenceJudge, check_reference
from bracket.judges.vlm.rubric import load_rubric

__all__ = ["KINDS", "Judge", "axes_of", "check_judge", "judgement_from_json", "judgement_to_json", "make_judge"]

QWEN_VL, OPENAI_API = "qwen_vl", "openai_api"
KINDS = (CLIP, REFERENCE, QWEN_VL, OPENAI_API)


def make_judge(settings: JudgeSettings, dataset: DatasetSplit, cache: Path, before: Sequence[Sample] = ()) -> Judge:
    """The judge that the settings name. Loads no model yet.

    Args:
        cache: the file its cache lives in; made when it is missing.
        before: the bare base's pictures, which may be added to later; only `reference` looks at them.

    Raises:
        JudgeError: there is no such kind, its model is missing or of another kind, its rubric doesn't fit, a weight
            names no axis, or (for clip) no training picture has a caption.
        StorageError: the cache can't be opened.
    """
    for problem in check_judge(settings):
        if problem.level == "error":
            raise JudgeError(problem.message, path=problem.path, remedy=problem.remedy)
    if settings.kind == CLIP:
        return ClipJudge(settings.model, dataset, cache, settings.weights, settings.batch_size)
    if settings.kind == REFERENCE:
        return ReferenceJudge(settings, dataset, cache, before)
    from bracket.judges.vlm.judge import VlmJudge

    rubric = load_rubric(settings.rubric)
    return VlmJudge(make_asker(settings), rubric, settings, dataset, cache, settings.kind)


def make_asker(settings: JudgeSettings) -> Asker:
    """The vision-language model that the settings name; loads nothing yet."""
    if settings.kind == QWEN_VL:
        from bracket.judges.local.qwen_vl import LocalModel

        return LocalModel(settings)
    from bracket.judges.server.openai_api import Client

    return Client(settings)


def axes_of(asked: Sequence[JudgeSettings]) -> set[str]:
    """The axes that these judges together look at in a search, where every prompt is drawn once and diversity has
    nothing to say, as their judgements call them: those of several are called `member.axis` (see `Panel`). Loads no
    model; a rubric that can't be read has none."""
    if len(asked) == 1:
        return _axes(asked[0])
    kinds = [one.kind for one in asked]
    labels = [k if kinds.count(k) == 1 else f"{k}-{n}" for n, k in enumerate(kinds, 1)]
    return {f"{label}.{axis}" for label, one in zip(labels, asked, strict=True) for axis in _axes(one)}


def _axes(settings: JudgeSettings) -> set[str]:
    if settings.kind in (CLIP, REFERENCE):
        return set(WEIGHTS if settings.kind == CLIP else REFERENCE_WEIGHTS) - {"diversity"}
    try:
        return set(load_rubric(settings.rubric).weights)
    except PresetError:  # said by `check_judge`
        return set()


def check_judge(settings: JudgeSettings) -> list[Problem]:
    """What keeps the judge of these settings from working, found without loading anything heavy."""
    if settings.kind not in KINDS:
        remedy = nearest(settings.kind, KINDS, "judges")
        return [Problem("error", f"there is no judge called {settings.kind!r}", remedy)]
    if settings.kind == REFERENCE:
        return check_reference(settings)
    if settings.kind == CLIP:
        problems, known = check_model(settings.model), dict(WEIGHTS)
    else:
        problems = _check_asker(settings)
        try:
            known = load_rubric(settings.rubric).weights
        except PresetError as error:
            path = Path(error.path) if error.path else None
            return [*problems, Problem("error", error.message, error.remedy, path)]
    try:
        resolve_weights(known, settings.weights)
    except JudgeError as error:
        problems.append(Problem("error", error.message, error.remedy))
    return problems


def _check_asker(settings: JudgeSettings) -> list[Problem]:
    if settings.kind == QWEN_VL:
        from bracket.judges.local.qwen_vl import check_local

        return check_local(settings)
    from bracket.judges.server.openai_api import check_server

    return check_server(settings)
