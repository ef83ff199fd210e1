"""How far the judge may be trusted: your votes against it, finalists side by side, and what it said of itself."""

from __future__ import annotations

from collections.abc import Sequence

from bracket.domain import mean
from bracket.report.summary import Calibration, Summary
from bracket.report.words import NOTHING, counted, fixed, judged, percent, points
from bracket.report.writing.document import Block, Bullets, Paragraph, Row, Subheading, Table
from bracket.stats.people.bradley_terry import Ranking

_UNCHECKED = (
    "Nobody voted, so how far this judge sees what you see isn't known. Twenty votes in the Results tab take a minute "
    "and tell."
)


def judging(summary: Summary) -> tuple[Block, ...]:
    """The section's blocks; () before anything was judged."""
    if not summary.rounds:
        return ()
    blocks: list[Block] = [Paragraph(text) for text in _votes(summary.calibration)]
    if summary.ranking:
        blocks += [Subheading("Finalists side by side"), *_side_by_side(summary.ranking, summary.flip_rate)]
    if len(summary.controls) > 1:
        blocks += [Subheading("Whether the judge drifted"), Paragraph(_drift(summary.controls))]
    if summary.remarks:
        blocks += [Subheading("What the judge wants known"), Bullets(summary.remarks)]
    return tuple(blocks)


def _votes(found: Calibration | None) -> list[str]:
    if found is None:
        return [_UNCHECKED]
    a = found.agreement
    told = [found.gate.reason[:1].upper() + found.gate.reason[1:] + "."]
    if a.rate is not None and a.low is not None and a.high is not None:
        span = f"{percent(a.level)} interval {round(100 * a.low)}–{round(100 * a.high)} %"
        told.append(f"It agrees with you on {percent(a.rate)} of {counted(a.votes, 'pair')} you told apart ({span}).")
    if found.corrected:
        c = found.corrected
        span = f"{percent(c.level)} interval {round(100 * c.low)}–{round(100 * c.high)} %"
        told += [
            f"By the judge alone the winner takes {percent(c.judge_alone)} of the fresh prompts.",
            f"Corrected by your votes, you would give it {percent(c.estimate)} ({span}; prediction-powered inference "
            f"in which the judge counts {fixed(c.weight, 2)}).",
        ]
    return told


def _drift(scores: Sequence[float]) -> str:
    half = len(scores) // 2
    moved = mean(scores[-half:]) - mean(scores[:half])
    span = f"{judged(min(scores))} to {judged(max(scores))}"
    return (
        f"With every prompt and pair of the duel the judge saw one and the same picture, {len(scores)} times in all. "
        f"It judged it from {span}; from the first half to the second that moved by {points(moved)} points. The arms "
        "were shown side by side, in an order drawn by chance, so that this falls on all of them alike."
    )


def _side_by_side(ranking: Ranking, flip_rate: float | None) -> list[Block]:
    rows = tuple(
        Row((str(n), name, fixed(strength, 2), _span(low, high), NOTHING if share is None else percent(share)))
        for n, (name, strength, low, high, share) in enumerate(
            zip(ranking.items, ranking.strengths, ranking.low, ranking.high, ranking.top_share, strict=True), 1
        )
    )
    told = [f"Bradley–Terry strengths from choices on {counted(ranking.prompts, 'prompt')}, every pair in both orders."]
    if flip_rate is not None:
        told.append(f"The order of showing decided {percent(flip_rate)} of them; those count as ties.")
    if not ranking.connected:
        told.append("Some were never compared, not even through others: their places say nothing of each other.")
    if ranking.flips:
        told.append(f"Without any one of {counted(len(ranking.flips), 'prompt')} another would lead.")
    columns = ("#", "Settings", "Strength", f"{percent(ranking.level)} interval", "Leads in resamples")
    return [Paragraph(" ".join(told)), Table(columns, rows, frozenset({0, 2, 3, 4}))]


def _span(low: float | None, high: float | None) -> str:
    return NOTHING if low is None or high is None else f"{low:.2f} to {high:.2f}"
