"""The report's tables: settings, rankings and failures. Each is of one round; rounds are never pooled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bracket.domain import Config, Outcome, Round, TrialResult, mean
from bracket.report.summary import Ranked, Summary
from bracket.report.words import NOTHING, counted, fixed, judged, knob_title, knob_value, score
from bracket.report.writing.document import Block, Code, Fold, Paragraph, Row, Table, Tone

ROUND_NAMES = {Round.SEARCH: "Search", Round.FINALS: "Finals", Round.CONFIRMATION: "Confirmation"}
OUTCOMES = {
    Outcome.OK: "ok",
    Outcome.DIVERGED: "melted",
    Outcome.OUT_OF_MEMORY: "out of memory",
    Outcome.CRASHED: "crashed",
    Outcome.HUNG: "hung",
    Outcome.STOPPED: "stopped",
    Outcome.NO_SAMPLES: "no samples",
}
_LONG_CAUSE = 160


def settings_table(summary: Summary) -> Table:
    """Every knob, the winner's value beside the baseline's; those that differ first."""
    ours: Config = summary.winner.config if summary.winner else {}
    theirs = summary.baseline_config
    whys = {knob.name: knob.why for knob in summary.knobs}
    names = sorted(dict.fromkeys([*theirs, *ours]), key=lambda name: ours.get(name) == theirs.get(name))
    rows = tuple(
        Row(
            (knob_title(name), _value(ours, name), _value(theirs, name), whys.get(name, "")),
            "" if ours.get(name) != theirs.get(name) else "muted",
        )
        for name in names
    )
    return Table(("Setting", "Winner", "Baseline", "What it does"), rows, frozenset({1, 2}))


def ranking_table(summary: Summary, rows: Sequence[Ranked]) -> Table:
    """One round's configs, best first, with the parts of their scores as means over their judged trials."""
    axes = tuple(dict.fromkeys(axis for ranked in rows for r in ranked.results if r.score for axis in r.axes))
    several = any(len(scored(ranked)) > 1 for ranked in rows)
    # Of two configs one seed apart, the spread between seeds is the first thing to look at.
    spread = ("Lowest–highest",) if several else ()
    columns = ("#", "Settings", "From", "Seeds", "Score", *spread, "Judged", "By loss",
               *(axis.replace("_", " ").capitalize() for axis in axes), "Validation loss", "Outcome")  # fmt: skip
    table_rows = tuple(
        _ranking_row(summary, place, ranked, axes, several) for place, ranked in enumerate(rows, start=1)
    )
    return Table(columns, table_rows, frozenset({0, *range(3, len(columns) - 1)}))


def tone_of(summary: Summary, config: Config) -> Tone:
    """Whether a config is the winner or the baseline of the session."""
    if summary.winner and same(config, summary.winner.config):
        return "winner"
    return "baseline" if same(config, summary.baseline_config) else ""


def same(a: Config, b: Config) -> bool:
    """Whether two configs have the same values."""
    return dict(a) == dict(b)


def scored(ranked: Ranked) -> list[TrialResult]:
    """Its trials that have a score."""
    return [result for result in ranked.results if result.score is not None]


def totals(ranked: Ranked) -> list[float]:
    """Score totals of its scored trials: 0..1, lower is better."""
    return [result.score.total for result in ranked.results if result.score is not None]


def failures(summary: Summary) -> tuple[Block, ...]:
    """Trials that did not end well, each with its reason; log lines in a fold."""
    failed = [(ranked, result) for ranked, result in _trials(summary) if result.outcome is not Outcome.OK]
    if not failed:
        return (Paragraph("No trial failed."),)
    rows = tuple(
        Row((result.trial.id, ranked.label, OUTCOMES[result.outcome], first_line(result.cause)), "failed")
        for ranked, result in failed
    )
    intro = f"{counted(len(failed), 'trial')} did not end well; such trials are never ranked among those that did."
    folds = tuple(
        Fold(f"Log of {result.trial.id}", (Code(result.cause.strip()),))
        for _, result in failed
        if "\n" in result.cause.strip()
    )
    return (Paragraph(intro), Table(("Trial", "Settings", "Outcome", "Why"), rows), *folds)


def notes(summary: Summary) -> tuple[str, ...]:
    """What must be known of single trials beside their scores."""
    return tuple(f"{result.trial.id} {note}" for _, result in _trials(summary) for note in result.notes)


def _trials(summary: Summary) -> Iterable[tuple[Ranked, TrialResult]]:
    for rows in summary.rounds.values():
        for ranked in rows:
            for result in ranked.results:
                yield ranked, result


def _ranking_row(summary: Summary, place: int, ranked: Ranked, axes: Sequence[str], several: bool) -> Row:
    results = scored(ranked)
    own = totals(ranked)
    failed = [result for result in ranked.results if result.outcome is not Outcome.OK]
    spread = (f"{score(max(own))}–{score(min(own))}" if len(own) > 1 else NOTHING,) if several else ()
    cells = (
        str(place) if ranked.total is not None else NOTHING,
        ranked.label,
        ranked.origin,
        str(len(ranked.results)),
        score(ranked.total),
        *spread,
        score(_mean(results, lambda r: r.score.sample_part if r.score else None)),
        score(_mean(results, lambda r: r.score.loss_part if r.score else None)),
        *(judged(_mean(results, lambda r, axis=axis: r.axes.get(axis))) for axis in axes),  # type: ignore[misc]
        fixed(_mean(results, lambda r: r.validation_loss), 4),
        _outcome(ranked, failed),
    )
    return Row(cells, "failed" if ranked.total is None else tone_of(summary, ranked.config))


def _outcome(ranked: Ranked, failed: Sequence[TrialResult]) -> str:
    if not failed:
        return "ok"
    kinds = ", ".join(dict.fromkeys(OUTCOMES[result.outcome] for result in failed))
    return kinds if len(failed) == len(ranked.results) else f"{len(failed)} of {len(ranked.results)} {kinds}"


def _mean(results: Sequence[TrialResult], get: Callable[[TrialResult], float | None]) -> float | None:
    values = [value for value in map(get, results) if value is not None]
    return mean(values) if values else None


def _value(config: Config, name: str) -> str:
    return knob_value(name, config[name]) if name in config else NOTHING


def first_line(cause: str) -> str:
    """A cause as a table has room for."""
    lines = cause.strip().splitlines() or ["no reason was recorded"]
    return lines[0] if len(lines[0]) <= _LONG_CAUSE else lines[0][: _LONG_CAUSE - 1] + "…"
