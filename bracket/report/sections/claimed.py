"""The claims of a confirmation as the report tells them: the effect first, then how sure, then who carries it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bracket.domain import Outcome
from bracket.report.claims.added import Try, newest_pairs, p_at, tries
from bracket.report.claims.again import could_claim
from bracket.report.claims.evidence import flips, runs_of
from bracket.report.claims.scores import Rules
from bracket.report.material.tables import OUTCOMES, first_line
from bracket.report.sections.lost import ends_of, sensitivity
from bracket.report.summary import Summary
from bracket.report.words import NOTHING, counted, fixed, judged, p_value, percent, points
from bracket.report.writing.document import Block, Paragraph, Row, Subheading, Table, Terms
from bracket.stats.duel.claims import POWER, CheckpointClaim, ConfigClaim
from bracket.stats.duel.flips import Flips
from bracket.stats.duel.verdict import Comparison, Verdict
from bracket.stats.duel.wording import evidence, hopeless, interval

_UNITS = {
    "prompt": "The unit is the prompt.",
    "theme": "The unit is the theme: prompts that stem from one caption or template count as one, by their mean.",
}


def claims(summary: Summary) -> list[Block]:
    """The two claims, each under its own heading: the effect, then how sure, then who carries it alone."""
    checkpoint, config = summary.verdict.checkpoint, summary.verdict.config
    blocks: list[Block] = [Subheading("The LoRA file")]
    if checkpoint:
        blocks += [
            Paragraph(f"Does the winner's file draw better pictures than the baseline's? {_UNITS[checkpoint.unit]}"),
            Terms(tuple(_checkpoint_terms(checkpoint, summary.verdict))),
            *_carried(summary),
        ]
    else:
        blocks.append(Paragraph("No duel was drawn, so nothing can be said about the two files."))
    blocks.append(Subheading("The settings"))
    if config:
        unit = "The unit is a pair of trainings with one fresh seed."
        blocks += [
            Paragraph(f"Do the winner's settings train better files? {unit}"),
            Terms(tuple(_config_terms(config, summary.verdict))),
            _pairs_table(summary),
            *_lost(summary),
            *_earlier(summary),
        ]
    else:
        blocks.append(Paragraph("No pair was trained with fresh seeds, so nothing can be said about the settings."))
    return [*blocks, *_left_out(summary), *_others(summary.verdict)]


def _left_out(summary: Summary) -> list[Block]:
    """Planned seeds without a pair, of every duel of the settings, each with how its trainings ended."""
    seeds = [*summary.left_out, *(seed for added in summary.additions for seed in added.left_out)]
    what = f"{counted(len(seeds), 'planned training seed')} left out, for reasons that are no fault of the settings:"
    return [Paragraph(what), _ends_table(summary, seeds)] if seeds else []


def _lost(summary: Summary) -> list[Block]:
    """Trainings that melted or were lost, and what the claim owes to those."""
    pairs = newest_pairs(summary)
    if not (ends := ends_of(summary, pairs)):
        return []
    owed = sensitivity(summary, summary.verdict, pairs)
    lost = [pair.seed for pair in pairs if pair.lost]
    table = [_ends_table(summary, lost)] if lost else []
    return [Paragraph(f"Trainings that ended badly: {ends}. {owed}".strip()), *table]


def _ends_table(summary: Summary, seeds: Sequence[int]) -> Table:
    rows = []
    for seed in seeds:
        ended = {side: run for side, run in runs_of(summary, seed).items() if run.outcome is not Outcome.OK}
        told = [(side.replace("_", "-"), OUTCOMES[run.outcome], first_line(run.cause)) for side, run in ended.items()]
        rows += [Row((str(seed), *one), "failed") for one in told or [(NOTHING, NOTHING, first_line(""))]]
    return Table(("Training seed", "Whose training", "Outcome", "Why"), tuple(rows), frozenset({0}))


def _carried(summary: Summary) -> list[Block]:
    """Single prompts and judges without which the claim about the file would be another."""
    try:
        _, by_prompt, by_judge = flips(summary)
    except ValueError:  # pictures that are on one side only: there is no claim then to look at
        return []
    return [Paragraph(_carried_by(found)) for found in (by_prompt, by_judge) if found]


def _carried_by(found: Flips) -> str:
    says = {1: "that the winner's file is better", -1: "that the baseline's file is better", 0: "no difference"}
    left = f"Leaving out one {found.unit} at a time changes the conclusion ({says[found.concludes]}) in {found.count}"
    if not found.flips:
        return f"{left}: no single {found.unit} carries it."
    named = ", ".join(repr(name) for name in found.flips[:3]) + (", …" if len(found.flips) > 3 else "")
    return f"{left}: {named}."


def _others(verdict: Verdict) -> list[Block]:
    """The further comparisons that were named beforehand."""
    if not verdict.others:
        return []
    rows = tuple(_other_row(other) for other in verdict.others)
    columns = ("Winner against", "About", "Points", "Interval", "How sure", "Winner better")
    text = "Named before the duel, so alpha is shared by equal parts."
    return [Subheading("Further comparisons"), Paragraph(text), Table(columns, rows, frozenset({2}))]


def _other_row(other: Comparison) -> Row:
    about = "the LoRA file" if other.about == "checkpoint" else "the settings"
    name = other.name.replace("_", "-")
    shown = "shown" if other.holds else "not shown"
    return Row((name, about, points(other.claim.mean_difference), interval(other.claim),
                _reached(other.claim, other.p), shown))  # fmt: skip


def _checkpoint_terms(claim: CheckpointClaim, verdict: Verdict) -> list[tuple[str, str]]:
    way = "exact" if claim.exact else f"{claim.flips:,} flips".replace(",", " ")
    of = _planned(claim, f"fresh {claim.unit}")
    return [
        ("Compared", f"{of} × {counted(claim.sample_seeds, 'sample seed')}"),
        ("Won", f"{percent(claim.win_rate)} of pairs ({percent(1 - claim.alpha)} interval {rate_interval(claim)})"),
        ("Mean difference", f"{points(claim.mean_difference)} points ({interval(claim)})"),
        *_average(claim),
        ("Chance that a picture of the winner's is better", percent(claim.improvement_probability)),
        ("How sure", _reached(claim, verdict.checkpoint_p, f"two-sided sign-flip over {claim.unit}s ({way})")),
        ("Could have found", f"{_could(claim.detectable)}"),
    ]


def _config_terms(claim: ConfigClaim, verdict: Verdict) -> list[tuple[str, str]]:
    way = f"one-sided sign-flip over pairs ({'exact' if claim.exact else 'drawn'})"
    test = _reached(claim, verdict.config_p, way)
    if claim.complete and not claim.can_support:
        least = claim.pairs + claim.pairs_needed
        test += f"; {counted(claim.pairs, 'pair')} can't get there, {least} can"
    return [
        ("Compared", _planned(claim, "pair") + " of fresh trainings"),
        ("Mean difference", f"{points(claim.mean_difference)} points ({interval(claim)})"),
        *_average(claim),
        ("How sure", test),
        ("Could have found", _could(claim.detectable)),
    ]


def _average(claim: CheckpointClaim | ConfigClaim) -> list[tuple[str, str]]:
    """What holds for the average and for how often, whatever the differences' shape; nothing by earlier editions."""
    if claim.average_low is None or claim.average_high is None:
        return []
    between = f"{points(claim.average_low)} to {points(claim.average_high)} points, by betting on a scale from 0 to 100"
    return [("Ahead", f"in {claim.won}, behind in {claim.lost}"), ("Average, whatever the differences' shape", between)]


def unit_count(claim: CheckpointClaim | ConfigClaim) -> int:
    """Units that were compared."""
    return claim.prompts if isinstance(claim, CheckpointClaim) else claim.pairs


def _planned(claim: CheckpointClaim | ConfigClaim, unit: str) -> str:
    if claim.watched is None or claim.complete:
        return counted(unit_count(claim), unit)
    return f"{unit_count(claim)} of {counted(claim.watched.planned, unit)}"


def _reached(claim: CheckpointClaim | ConfigClaim, p: float | None, way: str = "") -> str:
    """How the claim came out, and by which of the two ways: the e-process, or the exact test at the planned end."""
    watched, unit = claim.watched, claim.unit if isinstance(claim, CheckpointClaim) else "pair"
    if watched and watched.decided:
        value = watched.e_winner if watched.decided == "winner" else watched.e_baseline
        return f"{evidence(watched, unit)}; it is {value:.0f} now"
    if watched and not watched.complete:
        told = hopeless(watched, unit) if watched.hopeless else f"stopped by hand after {_planned(claim, unit)}"
        reached = f"; e-value {fixed(watched.e_winner, 1)} of {watched.e_needed:.0f} needed"
        return told + (reached if watched.live_alpha else "")
    spent = claim.alpha - claim.final_alpha
    why = f", because {_share(spent)} was spent on watching" if spent else ""
    needs = f"needs p ≤ {_share(claim.final_alpha)}{why}"
    return ", ".join(part for part in (_p(p), way) if part) + f"; {needs}"


def _earlier(summary: Summary) -> list[Block]:
    """The duels of the settings before the one that the verdict rests on, which no longer count."""
    every = tries(summary)
    newest = max((place for place, (_, claim) in enumerate(every) if claim), default=0)
    before = [place for place in range(newest) if every[place][0]["training_seeds"]]
    if not before:
        return []
    able = [could_claim(every[place][0]) for place in before]
    rows = tuple(
        _earlier_row(*every[place], p=p_at(summary, place), able=can) for place, can in zip(before, able, strict=True)
    )
    columns = ("Earlier duel", "Alpha", "Mean points", "How it ended")
    held_to = _held_to(every[newest][0], [every[place] for place in before], sum(able))
    return [Paragraph(held_to), Table(columns, rows, frozenset({1, 2}))]


def _held_to(plan: Mapping[str, Any], before: Sequence[Try], able: int) -> str:
    alpha = _share(float(plan["alpha"]))
    if not able:
        too_few = "An earlier duel was" if len(before) == 1 else "Earlier duels were"
        return f"{too_few} too small for any claim and spent nothing, so this one has all of its alpha, {alpha}."
    pairs = counted(len(before[-1][0]["training_seeds"]), "pair")
    which = f"An earlier duel of {pairs}" if able == 1 else f"{able} earlier duels"
    final = _share(Rules.of(plan).final_alpha(len(plan["training_seeds"]), two_sided=False))
    return (
        f"{which} ended without a claim; this one, on fresh training seeds alone, is held to p ≤ {final}, so that "
        "trying again can't make up for itself."
    )


def _earlier_row(plan: Mapping[str, Any], claim: ConfigClaim | None, *, p: float | None, able: bool) -> Row:
    planned = counted(len(plan["training_seeds"]), "pair")
    alpha = _share(float(plan["alpha"]))
    if claim is None:
        return Row((planned, alpha, NOTHING, "no pair was trained"))
    ended = _reached(claim, p) if able else "too few pairs for a claim"
    return Row((planned, alpha, points(claim.mean_difference), ended))


def _pairs_table(summary: Summary) -> Table:
    rows = tuple(
        Row((str(pair.seed), judged(pair.winner), judged(pair.baseline), points(pair.difference)))
        for pair in newest_pairs(summary)
    )
    columns = ("Training seed", "Winner, judged", "Baseline, judged", "Difference")
    return Table(columns, rows, frozenset(range(4)))


def rate_interval(claim: CheckpointClaim) -> str:
    """Of the win rate, as percentages."""
    return f"{round(100 * claim.win_rate_low)} to {round(100 * claim.win_rate_high)} %"


def units(claim: CheckpointClaim) -> str:
    """What a win rate is a share of, with its count."""
    if claim.sample_seeds == 1:
        return counted(claim.prompts, f"fresh {claim.unit}")
    return counted(claim.pairs, "fresh picture pair")


def _could(detectable: float | None) -> str:
    if detectable is None:
        return "nothing: too few to reach a verdict"
    return f"a true difference of {judged(detectable)} points, {percent(POWER)} of the time"


def _p(p: float | None) -> str:
    return "not computed" if p is None else p_value(p)


def _share(alpha: float) -> str:
    """A part of alpha: 0.04, 0.008."""
    return f"{alpha:.3g}"
