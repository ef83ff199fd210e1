"""Which pictures a report shows: the same prompt and seed in every column, the same kind of row from top to bottom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from bracket.domain import Judgement, Round, TrialResult
from bracket.report.claims.scores import paired_scores
from bracket.report.material.tables import ROUND_NAMES, same
from bracket.report.summary import Summary
from bracket.report.words import counted, knob_name
from bracket.report.writing.document import PictureRow, Pictures, Tone

COLUMNS = 6
"""So many prompts fit a page with pictures that one can see."""
Key = tuple[str, int]
"""Prompt and sample seed."""
T = TypeVar("T")


@dataclass(frozen=True)
class _Shown:
    label: str
    result: TrialResult
    tone: Tone


def before_and_after(summary: Summary) -> Pictures | None:
    """The bare base, baseline and winner of the finals, and the search's lowest and highest learning rate."""
    duelists = _duelists(summary)
    if not duelists:
        return None
    shared = [_last(shown.result) for shown in duelists]
    keys = _spread([key for key in shared[-1] if all(key in pictures for pictures in shared)], COLUMNS)
    if not keys:
        return None
    rows = (*_before(summary, keys), *(_row(shown, keys) for shown in (*duelists, *_extremes(summary))))
    alt = f"Pictures of {counted(len(rows), 'config')} for {counted(len(keys), 'prompt')}"
    return Pictures("before-and-after", tuple(prompt for prompt, _ in keys), rows, alt)


def duel_pictures(summary: Summary) -> Pictures | None:
    """Fresh prompts from the winner's clearest win to its clearest loss, one sample seed each."""
    if summary.duel is None or not summary.duel.winner:
        return None
    try:
        ours, theirs = paired_scores(summary.duel.winner, summary.duel.baseline)
    except ValueError:  # a duel that isn't paired can't be laid side by side
        return None
    prompts = list(dict.fromkeys(j.sample.prompt for j in summary.duel.winner))
    order = np.argsort(-(ours - theirs).mean(axis=1), kind="stable")
    chosen = _spread([prompts[i] for i in order], COLUMNS)
    rows = (
        _duel_row("Baseline", summary.duel.baseline, chosen, "baseline"),
        _duel_row("Winner", summary.duel.winner, chosen, "winner"),
    )
    return Pictures("duel", tuple(chosen), rows, "Pictures of the duel, baseline above winner")


def kept_pictures(summary: Summary) -> Pictures | None:
    """Prompts without the trigger word, from what the winner draws worst beside the base to what it draws best."""
    plain = summary.plain
    if plain is None:
        return None
    try:
        ours, base = paired_scores(plain.winner, plain.base)
    except ValueError:  # as in `duel_pictures`
        return None
    prompts = list(dict.fromkeys(j.sample.prompt for j in plain.winner))
    chosen = _spread([prompts[i] for i in np.argsort((ours - base).mean(axis=1), kind="stable")], COLUMNS)
    rows = (
        _duel_row("Base", plain.base, chosen, "muted"),
        _duel_row("Baseline", plain.baseline, chosen, "baseline"),
        _duel_row("Winner", plain.winner, chosen, "winner"),
    )
    return Pictures("kept", tuple(chosen), rows, "Pictures without the trigger word: base, baseline, winner")


def learning_rate_knob(summary: Summary) -> str | None:
    """The knob that is a learning rate, if one varies."""
    return next((k.name for k in summary.knobs if k.kind == "float" and knob_name(k.name).split()[-1] == "lr"), None)


def _duelists(summary: Summary) -> list[_Shown]:
    """Baseline and winner, of one training seed where they share one; one row when they are the same config."""
    if summary.winner is None:
        return []
    alone = summary.baseline is None or same(summary.winner.config, summary.baseline.config)
    ours = {r.trial.seed: r for r in summary.winner.results if r.samples}
    theirs = {r.trial.seed: r for r in summary.baseline.results if r.samples} if summary.baseline and not alone else {}
    seed = min(set(ours) & set(theirs), default=None)
    rows = []
    if summary.baseline and theirs:
        result = theirs[seed] if seed is not None else next(iter(theirs.values()))
        rows.append(_Shown(f"Baseline: {summary.baseline.label}", result, "baseline"))
    if ours:
        result = ours[seed] if seed is not None else next(iter(ours.values()))
        rows.append(_Shown(f"Winner: {summary.winner.label}", result, "winner"))
    return rows


def _before(summary: Summary, keys: Sequence[Key]) -> tuple[PictureRow, ...]:
    pictures = {(sample.prompt, sample.seed): sample.path for sample in summary.before}
    paths = tuple(pictures.get(key) for key in keys)
    return (PictureRow("Before: the base model", "without any LoRA", paths, tone="muted"),) if any(paths) else ()


def _extremes(summary: Summary) -> list[_Shown]:
    """The search's trials with pictures whose learning rate lies furthest below and above winner and baseline."""
    knob = learning_rate_knob(summary)
    configs = [summary.baseline_config] + ([summary.winner.config] if summary.winner else [])
    rates = [float(config[knob]) for config in configs if knob is not None and knob in config]
    if knob is None or not rates:
        return []
    drawn = [
        (float(ranked.config[knob]), _Shown(ranked.label, result, "muted"))
        for ranked in summary.rounds.get(Round.SEARCH, ())
        for result in ranked.results[:1]
        if knob in ranked.config and result.samples
    ]
    rows = []
    for name, beyond in (
        ("Lowest", min((d for d in drawn if d[0] < min(rates)), key=lambda d: d[0], default=None)),
        ("Highest", max((d for d in drawn if d[0] > max(rates)), key=lambda d: d[0], default=None)),
    ):
        if beyond:
            rows.append(replace(beyond[1], label=f"{name} learning rate: {beyond[1].label}"))
    return rows


def _length(result: TrialResult) -> str:
    trial = result.trial
    return f"{ROUND_NAMES[trial.round]}, {counted(trial.steps, 'step')}, training seed {trial.seed}"


def _last(result: TrialResult) -> Mapping[Key, Path]:
    """The newest picture of each prompt and seed."""
    found: dict[Key, tuple[int, Path]] = {}
    for sample in result.samples:
        key = (sample.prompt, sample.seed)
        if key not in found or sample.step >= found[key][0]:
            found[key] = (sample.step, sample.path)
    return {key: path for key, (_, path) in found.items()}


def _row(shown: _Shown, keys: Sequence[Key]) -> PictureRow:
    pictures = _last(shown.result)
    scores = {judgement.sample.path: judgement.score for judgement in shown.result.judgements}
    paths = tuple(pictures.get(key) for key in keys)
    values = tuple(None if path is None else scores.get(path) for path in paths)
    return PictureRow(shown.label, _length(shown.result), paths, values, shown.tone)


def _duel_row(name: str, judgements: Sequence[Judgement], prompts: Sequence[str], tone: Tone) -> PictureRow:
    first: dict[str, Judgement] = {}
    for judgement in judgements:
        best = first.setdefault(judgement.sample.prompt, judgement)
        if judgement.sample.seed < best.sample.seed:
            first[judgement.sample.prompt] = judgement
    paths = tuple(first[prompt].sample.path for prompt in prompts)
    return PictureRow(name, "", paths, tuple(first[prompt].score for prompt in prompts), tone)


def _spread(items: Sequence[T], n: int) -> list[T]:
    """At most n of the items, evenly from first to last."""
    if len(items) <= n:
        return list(items)
    return [items[round(i * (len(items) - 1) / (n - 1))] for i in range(n)]
