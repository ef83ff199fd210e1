"""Finalists side by side: the judge's choices between their pictures of the same prompt and seed, after the finals.

Shown beside the scores, never instead of them: the verdict rests on the duel.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from bracket.domain import Outcome, Preference, Round, Sample
from bracket.errors import JudgeError
from bracket.files import whole_lines, write_text
from bracket.judges.vlm.pairs import close_pairs
from bracket.report.summary import Ranked
from bracket.session.job import Context
from bracket.session.running.judging import patiently
from bracket.session.running.rounds import RoundRunner
from bracket.session.running.stages import rank
from bracket.stats.people.bradley_terry import Ranking, rank_pairs
from bracket.trainers.base import newest

FILE = "pairwise.jsonl"
log = logging.getLogger(__name__)


def ask(runner: RoundRunner) -> None:
    """Ask about the closest configs of the finals, once; what was answered is kept in the session's folder."""
    context, limit = runner.context, runner.context.settings.pairwise
    path = context.folder / FILE
    if not limit or path.exists():
        return
    arms = _arms(context, rank(runner.store.results(Round.FINALS)))
    labels = close_pairs({label: -total for label, (total, _) in arms.items()}, limit)
    asked = [(one, other, pair) for one, other in labels for pair in _same_prompts(arms[one][1], arms[other][1])]
    try:
        chosen = patiently(lambda: runner.judge.compare([pair for _, _, pair in asked]), runner)
    except JudgeError as error:
        if error.path is None:
            raise
        log.warning("the finalists are not compared side by side: %s", error)
        return
    lines = [_line(one, other, p) for (one, other, _), p in zip(asked, chosen, strict=True)]
    write_text(path, "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines))


def read_ranking(folder: Path) -> tuple[Ranking | None, float | None]:
    """The finalists ranked by the kept choices, and in what share of these the order of showing decided."""
    lines = [line for line in whole_lines(folder / FILE) if _is_line(line)]
    if not lines:
        return None, None
    items = list(dict.fromkeys(label for line in lines for label in (line["a"], line["b"])))
    comparisons = [(line["a"], line["b"], float(line["value"])) for line in lines]
    flips = sum(bool(line["flipped"]) for line in lines) / len(lines)
    return rank_pairs(items, comparisons, [line["prompt"] for line in lines]), flips


def _arms(context: Context, ranking: Sequence[Ranked]) -> dict[str, tuple[float, list[Sample]]]:
    """Each ranked config's mean score and the last pictures of its first good training."""
    arms = {}
    for ranked in ranking:
        good = [r for r in ranked.results if r.outcome is Outcome.OK]
        if ranked.total is not None and good:
            first = min(good, key=lambda r: r.trial.seed)
            arms[ranked.label] = (ranked.total, newest(context.trainer.find_samples(first.trial)))
    return arms


def _same_prompts(ours: Sequence[Sample], theirs: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    known = {(s.prompt, s.seed): s for s in theirs}
    return [(s, known[s.prompt, s.seed]) for s in ours if (s.prompt, s.seed) in known]


def _is_line(line: object) -> bool:
    """Whether it is what `_line` makes; a damaged one is left out."""
    if not isinstance(line, dict) or not all(isinstance(line.get(key), str) for key in ("a", "b", "prompt")):
        return False
    value = line.get("value")
    return isinstance(value, int | float) and 0 <= value <= 1 and isinstance(line.get("flipped"), bool)


def _line(one: str, other: str, p: Preference) -> dict[str, object]:
    return {"a": one, "b": other, "prompt": p.a.prompt, "seed": p.a.seed, "value": p.value, "flipped": p.flipped}
