"""What a report says and in which order: the verdict first, how it was done last."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from bracket.domain import Round, mean
from bracket.report.claims.added import newest_pairs
from bracket.report.figures import pareto
from bracket.report.figures.drawing import Kind, Plot
from bracket.report.material import pictures, tables
from bracket.report.material.searched import Searched, look
from bracket.report.sections import keep, mattered, statistics
from bracket.report.sections.judging import judging
from bracket.report.sections.undecided import why_undecided
from bracket.report.summary import Ranked, Summary
from bracket.report.words import counted, duration, judged, percent
from bracket.report.writing.document import Block, Bullets, Code, Document, Fold, Paragraph, Section, Subheading, Terms
from bracket.stats.duel.wording import sentence, short_sentence, unrecommended

_LOSS_WARNING = (
    "Validation losses are of held-out pictures with fixed noise, so settings can be compared by them. A lower loss is "
    "not yet a better picture."
)
_SCORE_WORDS = (
    "All but the validation loss lies between 0 and 100, and higher is better. Judged is what the judge says, By loss "
    "what the loss alone would. Rounds differ in length, so each is ranked by itself."
)
_ONE_SEED = "Every config was trained once, with a single seed: places that lie close together may be luck."
_LONG_LABEL = 60
"""Characters of a label that a headline can carry; longer ones stand in the table beneath it."""
_MANY = 30
"""Rows of a table that is folded away."""


def compose(summary: Summary, plots: Sequence[Plot], searched: Searched | None = None) -> Document:
    """The whole report of a session. `plots` are those of `figures.plots`, `searched` what they were made from."""
    sections = [
        _settings(summary),
        _pictures(summary),
        keep.section(summary),
        _scores(summary),
        pareto.section(summary, plots),
        Section("failures", "What failed", tables.failures(summary)),
        _curves(plots),
        mattered.section(summary, searched or look(summary), plots),
        _statistics(summary, plots),
        Section("judge", "How far to trust the judge", judging(summary)),
        Section("more", "What more runs would buy", tuple(statistics.more_runs(summary))),
        _how(summary),
    ]
    return Document(
        name=summary.name,
        subtitle=_subtitle(summary),
        headline=_headline(summary),
        found=summary.verdict.kind in ("config", "checkpoint") and summary.verdict.recommended,
        meaning=statistics.meaning(summary),
        facts=statistics.facts(summary.verdict) if summary.winner else (),
        sections=tuple(section for section in sections if section.blocks),
    )


def _headline(summary: Summary) -> str:
    if summary.winner is None:
        return "No winner." if why_undecided(summary) else "No winner yet."
    verdict, label, but = summary.verdict, summary.winner.label, unrecommended(summary.verdict)
    if len(label) > _LONG_LABEL:
        label = "the baseline" if verdict.kind == "baseline_leads" else "the search's best config"
    if verdict.kind == "config" and (pairs := newest_pairs(summary)):
        ours, theirs = (judged(mean([getattr(pair, side) for pair in pairs])) for side in ("winner", "baseline"))
        seeds = counted(len(pairs), "new seed")
        judgements = f"it is judged {ours}, the baseline {theirs}"
        return f"{_capital(label)} wins: trained afresh with {seeds}, {judgements}{but}."
    if verdict.kind == "checkpoint" and verdict.checkpoint:
        share, units = percent(verdict.checkpoint.win_rate), statistics.units(verdict.checkpoint)
        return f"{_capital(label)} wins: its pictures beat the baseline's in {share} of {units}{but}."
    if verdict.kind == "no_difference":
        return f"No difference found between {label} and the baseline{but}."
    return _capital(short_sentence(verdict, label).rstrip(".")) + "."


def _capital(text: str) -> str:
    """A sentence's beginning, unless it begins with a knob's short name."""
    return text if text.startswith("lr ") else text[:1].upper() + text[1:]


def _subtitle(summary: Summary) -> str:
    configs = len(summary.rounds.get(Round.SEARCH, ()))
    total = sum(summary.seconds.values())
    parts = [summary.preset_title, f"{counted(configs, 'config')} compared" if configs else ""]
    return " · ".join(part for part in [*parts, f"{duration(total)}" if total else ""] if part)


def _settings(summary: Summary) -> Section:
    if summary.winner is None:
        return Section("settings", "Settings", ())
    blocks: list[Block] = [tables.settings_table(summary)]
    if summary.command:
        blocks += [Paragraph("Train it in full:"), Code(shlex.join(summary.command))]
    return Section("settings", "The winner's settings", tuple(blocks))


def _pictures(summary: Summary) -> Section:
    blocks: list[Block] = []
    if hero := pictures.before_and_after(summary):
        blocks += [
            Paragraph("A column is one prompt and one starting noise. Figures are what the judge says, of 100."),
            hero,
            Paragraph(_how_good(summary)),
        ]
    if duel := pictures.duel_pictures(summary):
        text = "Fresh prompts that took no part in choosing, from the winner's clearest win to its clearest loss."
        blocks += [Paragraph(text), duel]
    return Section("pictures", "Before and after", tuple(blocks))


def _how_good(summary: Summary) -> str:
    """How good the baseline is: its pictures of the finals as judged, beside the bare base's and the winner's."""
    parts = [f"the baseline's pictures are judged {judged(_judged(summary.baseline))} on average"]
    if summary.base_score is not None:
        parts.append(f"the bare base's {judged(summary.base_score)}")
    if summary.winner and summary.verdict.kind != "baseline_leads":
        parts.append(f"the winner's {judged(_judged(summary.winner))}")
    *first, last = parts
    return f"In the finals {', '.join(first)}{' and ' if first else ''}{last}."


def _judged(ranked: Ranked | None) -> float | None:
    scores = [j.score for result in ranked.results for j in result.judgements] if ranked else []
    return mean(scores) if scores else None


def _scores(summary: Summary) -> Section:
    weight = _weights(summary)
    blocks: list[Block] = [Paragraph(f"{_SCORE_WORDS} {f'A score is {weight}.' if weight else ''}".strip())]
    for name, rows in summary.rounds.items():
        if not rows:
            continue
        title = f"{tables.ROUND_NAMES[name]}: {_round_words(summary, name)}"
        table = tables.ranking_table(summary, rows)
        one_seed = len({result.trial.seed for ranked in rows for result in ranked.results}) == 1
        note = [Paragraph(_ONE_SEED, "note")] if one_seed else []
        blocks += [Fold(title, (table,))] if len(rows) > _MANY else [Subheading(title), *note, table]
    return Section("scores", "Scores", tuple(blocks) if len(blocks) > 1 else ())


def _curves(plots: Sequence[Plot]) -> Section:
    figures = _of(plots, "loss")
    return Section("loss", "Loss curves", (Paragraph(_LOSS_WARNING), *figures) if figures else ())


def _statistics(summary: Summary, plots: Sequence[Plot]) -> Section:
    if summary.winner is None:
        return Section("statistics", "What the statistics say", ())
    said = sentence(summary.verdict, summary.winner.label).replace("**", "")
    blocks: list[Block] = [Paragraph(said), *_of(plots, "duel"), *statistics.claims(summary)]
    return Section("statistics", "What the statistics say", (*blocks, *statistics.descriptive(summary)))


def _how(summary: Summary) -> Section:
    blocks: list[Block] = [Terms(tuple(_how_terms(summary)))]
    if summary.warnings:
        blocks += [Paragraph("What the run warned of:"), Bullets(summary.warnings)]
    for title, prompts in (
        (f"Prompts that chose ({len(summary.prompts)})", summary.prompts),
        (f"Prompts kept for the verdict ({len(summary.verdict_prompts)})", summary.verdict_prompts),
    ):
        if prompts:
            blocks.append(Fold(title, (Bullets(prompts),)))
    if notes := tables.notes(summary):
        blocks.append(Fold("Notes on single trials", (Bullets(notes),)))
    text = "Every judgement and the hash of every judged picture are in certificate.json. To compute the verdict again:"
    command = shlex.join(("python", "-m", "bracket", "verify", str(summary.folder)))
    return Section("how", "How it was done", (*blocks, Paragraph(text), Code(command)))


def _how_terms(summary: Summary) -> list[tuple[str, str]]:
    terms = [("Preset", f"{summary.preset_title} ({summary.preset_name})")]
    if data := _flat(summary.dataset):
        terms.append(("Dataset", data))
    kept = counted(len(summary.verdict_prompts), "fresh one")
    terms.append(("Prompts", f"{len(summary.prompts)} for choosing, {kept} for the verdict"))
    terms += [(tables.ROUND_NAMES[name], _round_words(summary, name)) for name, rows in summary.rounds.items() if rows]
    if summary.promotion:
        terms.append(("Finalists", summary.promotion))
    if summary.memory:
        terms.append(("Memory", summary.memory))
    terms.append(("Judge", summary.judge or "none"))
    if weight := _weights(summary):
        terms.append(("Score", weight))
    if summary.seconds:
        phases = [f"{name} {duration(seconds)}" for name, seconds in summary.seconds.items()]
        terms.append(("Time", f"{duration(sum(summary.seconds.values()))}: {', '.join(phases)}"))
    if summary.versions:
        terms.append(("Versions", _flat(summary.versions)))
    return [*terms, ("Fingerprint", summary.fingerprint)]


def _round_words(summary: Summary, name: Round) -> str:
    rows = summary.rounds[name]
    trials = [result.trial for ranked in rows for result in ranked.results]
    steps = sorted({trial.steps for trial in trials})
    seeds = sorted({trial.seed for trial in trials})
    named = ", ".join(map(str, seeds[:6])) + (", …" if len(seeds) > 6 else "")
    length = " or ".join(map(str, steps))
    return f"{counted(len(rows), 'config')}, {length} steps, training {'seed' if len(seeds) == 1 else 'seeds'} {named}"


def _weights(summary: Summary) -> str:
    if not summary.loss_counts:
        return "judged pictures alone: these trials have no validation losses that can be compared"
    score = summary.settings.get("score")
    if not isinstance(score, Mapping) or not isinstance(weight := score.get("sample_weight"), int | float):
        return ""
    scale = "on the judge's scale" if score.get("edition", 1) > 1 else "against the baseline's"
    return f"{percent(weight)} judged pictures, {percent(1 - weight)} validation loss {scale}"


def _flat(values: Mapping[str, Any]) -> str:
    """Plain counts and names on one line; lists as their length."""
    parts = []
    for key, value in values.items():
        shown = len(value) if isinstance(value, list | tuple | set) else value
        if shown not in ("", None) and not isinstance(shown, Mapping):
            parts.append(f"{str(key).replace('_', ' ')} {shown}")
    return ", ".join(parts)


def _of(plots: Sequence[Plot], kind: Kind) -> list[Block]:
    return [plot.figure for plot in plots if plot.kind == kind]
