"""What the statistics say, in words: the two claims apart, the descriptive figures, and what more runs would buy."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace

from bracket.domain import Round, mean
from bracket.report.claims.added import tries
from bracket.report.claims.again import alpha_after
from bracket.report.claims.evidence import plan_of
from bracket.report.claims.scores import Rules
from bracket.report.material.searched import held
from bracket.report.material.tables import same, scored, totals
from bracket.report.sections.claimed import claims, rate_interval, unit_count, units
from bracket.report.sections.undecided import why_undecided
from bracket.report.summary import Ranked, Summary
from bracket.report.words import NOTHING, counted, duration, fixed, judged, p_value, percent, points
from bracket.report.writing.document import Block, Bullets, Fact, Paragraph, Row, Subheading, Table
from bracket.stats.descriptive import DESCRIPTIVE, Welch, welch
from bracket.stats.duel.claims import POWER, CheckpointClaim, ConfigClaim
from bracket.stats.duel.power import detectable_difference, pairs_needed
from bracket.stats.duel.sequential import EDITION
from bracket.stats.duel.signflip import smallest_n
from bracket.stats.duel.tries import fewest_pairs
from bracket.stats.duel.verdict import Verdict
from bracket.stats.duel.wording import interval as mean_interval
from bracket.stats.duel.wording import keep_interval

__all__ = ["claims", "descriptive", "facts", "meaning", "more_runs", "units"]


def facts(verdict: Verdict) -> tuple[Fact, ...]:
    """The figures that a glance at the verdict should catch."""
    if verdict.kind == "baseline_leads":
        return ()
    found = []
    if claim := verdict.checkpoint:
        interval = f"{percent(1 - claim.alpha)} interval {rate_interval(claim)}"
        found.append(Fact(percent(claim.win_rate), f"of {units(claim)} won", interval))
        found.append(Fact(points(claim.mean_difference), "points judged on fresh prompts", mean_interval(claim)))
        share = percent(claim.improvement_probability)
        found.append(Fact(share, "chance of the better picture", "one of each, of the same fresh prompt"))
    if config := verdict.config:
        found.append(Fact(points(config.mean_difference), "points judged of fresh trainings", mean_interval(config)))
    if (kept := verdict.kept and verdict.kept.winner) and kept.share is not None:
        found.append(Fact(percent(kept.share), "of what the base could is kept", keep_interval(kept)))
    least = smallest_n(verdict.final_alpha, two_sided=False)
    pairs = verdict.config.pairs if verdict.config else 0
    done = f"{pairs} of {least}" if pairs < least else str(pairs)
    return (*found, Fact(done, "paired trainings done", f"from {least} on they can speak of the settings"))


def meaning(summary: Summary) -> tuple[Paragraph, ...]:
    """What the verdict means, for somebody who has never seen bracket."""
    if summary.winner is None:
        waits = "The finals have not ended, so there is no winner to compare with the baseline yet."
        return (Paragraph(why_undecided(summary) or waits),)
    verdict = summary.verdict
    text = {
        "config": _means_config,
        "checkpoint": _means_checkpoint,
        "baseline_wins": _means_baseline_wins,
        "no_difference": _means_no_difference,
        "not_tested": _means_not_tested,
        "judge_refused": _means_refused,
        "baseline_leads": _means_baseline_leads,
    }[verdict.kind](summary)
    notes = tuple(Paragraph(note, "warning") for note in (*summary.again, *verdict.notes))
    melted = (Paragraph(told),) if (told := held(summary)) else ()
    return (Paragraph(text), *melted, *notes)


def _means_config(summary: Summary) -> str:
    claim = summary.verdict.config
    if claim is None:
        return ""
    chance = _chance(claim, summary.verdict.config_p)
    return (
        "This is about the settings, not about one lucky file: both were trained again from scratch with "
        f"{counted(claim.pairs, 'training seed')} that had no part in choosing. If the settings were equally good, a "
        f"lead like this would come up by chance in {chance} of such tests. Not shown: that no other settings are "
        f"better still, or that it holds for prompts unlike these or for other eyes than {_judge(summary)}."
    )


def _means_checkpoint(summary: Summary) -> str:
    claim = summary.verdict.checkpoint
    if claim is None:
        return ""
    chance = _chance(claim, summary.verdict.checkpoint_p)
    return (
        "This is about one trained LoRA file against another, on prompts that had no part in choosing. If the two "
        f"files were equally good, a difference this clear would come up by chance in {chance} of such duels. Not "
        f"shown: that the settings win again when trained with another seed; {_settings_state(summary.verdict)}."
    )


def _means_baseline_wins(summary: Summary) -> str:
    about = "settings" if summary.verdict.about == "config" else "LoRA file"
    return (
        f"The search put these settings first, but on fresh prompts and seeds the baseline's {about} did better: what "
        "chose them was partly luck. Stay with the baseline, or search again with more training seeds."
    )


def _means_no_difference(summary: Summary) -> str:
    sizes = []
    checkpoint = summary.verdict.checkpoint
    for claim, noun in (
        (checkpoint, f"fresh {checkpoint.unit if checkpoint else 'prompt'}s"),
        (summary.verdict.config, "paired trainings"),
    ):
        if claim and claim.can_support and claim.detectable:
            count = claim.watched.planned if claim.watched else unit_count(claim)
            sizes.append(f"{count} {noun} find a true difference of {judged(claim.detectable)} points")
    could = f": {' and '.join(sizes)} in {percent(POWER)} of cases, on a scale from 0 to 100" if sizes else ""
    return (
        f"That is a finding, not a failure of the test{could}. A smaller difference may exist, and this can't show it. "
        "Until more is known, either will do; the baseline is the simpler choice."
    )


def _means_refused(summary: Summary) -> str:
    return (
        f"Your own votes were held against the judge, and {summary.verdict.gate}. What it found is not a finding then. "
        "Judge the same pictures with another judge (`python -m bracket rejudge`), or vote on more of them."
    )


def _means_not_tested(summary: Summary) -> str:
    return (
        "These settings came first in the search, but whatever chose them can't also prove them, and no test on fresh "
        f"prompts and seeds was large enough to say anything; {_settings_state(summary.verdict)}."
    )


def _means_baseline_leads(summary: Summary) -> str:
    tried = len(summary.rounds.get(Round.SEARCH, ()))
    return (
        f"{counted(tried, 'config')} were tried and none did better than the baseline when they were trained longer, "
        "so there was nothing left to prove. It does not show that no better settings exist, only that this search "
        "found none."
    )


def descriptive(summary: Summary) -> list[Block]:
    """Welch's comparisons within the finals."""
    finals = [ranked for ranked in summary.rounds.get(Round.FINALS, ()) if scored(ranked)]
    winner = next((r for r in finals if summary.winner and same(r.config, summary.winner.config)), None)
    others = [
        ("baseline", next((r for r in finals if same(r.config, summary.baseline_config) and r is not winner), None)),
        ("runner-up", next((r for r in finals if r is not winner), None)),
    ]
    rows = tuple(_welch_row(name, winner, other) for name, other in others if winner and other)
    if not rows:
        return []
    why = (
        "They come from the finals' scores. The best of several always looks better here than it is, so no verdict "
        "rests on them."
    )
    columns = ("Winner against", "Seeds", "Points", "t", "df", "p", "95 % interval", "")
    return [
        Subheading("Descriptive figures"),
        Paragraph(f"{DESCRIPTIVE} {why}"),
        Table(columns, rows, frozenset(range(1, 7))),
    ]


def more_runs(summary: Summary) -> list[Block]:
    """What it would cost and show to add prompts or pairs."""
    verdict, rules = summary.verdict, Rules.of(plan_of(summary), summary.left_out)
    further = _next_rules(summary, rules)
    seconds = _pair_seconds(summary)
    each = f" A pair takes about {duration(seconds)} here." if seconds else ""
    least, done = smallest_n(verdict.final_alpha, two_sided=False), verdict.config.pairs if verdict.config else 0
    enough = f"{counted(done, 'pair')} of fresh trainings can speak about the settings; more find smaller differences"
    items = [f"{enough if done >= least else _capitalised(_needed(verdict))}.{each}"]
    if _open(verdict) and summary.plan is not None:
        items.append(_how_to_add(summary, further))
    if verdict.config and (observed := _pairs_for_observed(verdict.config, further)):
        items.append(observed)
    if verdict.single_seed:
        items.append("More training seeds in the finals: a choice on one seed follows luck as much as settings.")
    rows = [*_prompt_rows(verdict.checkpoint, rules), *_pair_rows(verdict.config, further)]
    blocks: list[Block] = [Bullets(tuple(items))]
    if rows:
        blocks += [
            Paragraph(f"The smallest true mean difference, in points of 100, found {percent(POWER)} of the time:"),
            Table(("With", "Finds a difference of"), tuple(rows), frozenset({1})),
        ]
    return blocks


def _welch_row(name: str, winner: Ranked, other: Ranked) -> Row:
    found: Welch = welch(*([1 - total for total in totals(ranked)] for ranked in (winner, other)))
    interval = NOTHING if found.low is None else f"{points(found.low)} to {points(found.high)}"
    cells = (
        f"{name} ({other.label})",
        f"{found.n_a} and {found.n_b}",
        points(found.difference),
        fixed(found.t, 2),
        fixed(found.df, 1),
        NOTHING if found.p_two_sided is None else p_value(found.p_two_sided),
        interval,
        found.reason,
    )
    return Row(cells)


def _settings_state(verdict: Verdict) -> str:
    """What is known about the settings when the verdict is not about them."""
    least = smallest_n(verdict.final_alpha, two_sided=False)
    done = verdict.config.pairs if verdict.config else 0
    if done >= least:
        return f"{counted(done, 'pair')} of fresh trainings left that open"
    return _needed(verdict)


def _needed(verdict: Verdict) -> str:
    """What is missing for a claim; pairs that were planned and are there don't count in a duel that is added."""
    claim, least = verdict.config, smallest_n(verdict.final_alpha, two_sided=False)
    planned = claim is not None and not claim.complete
    pairs = f"{counted(least - claim.pairs, 'more pair')}" if claim and planned else f"{least} pairs"
    return f"{pairs} of fresh trainings would let it speak about the settings"


def _next_rules(summary: Summary, first: Rules) -> Rules:
    """What the next duel of the settings would be held to; where they are proved, what the last was."""
    plans = [plan for plan, _ in tries(summary)]
    if not plans:
        return first
    newest = Rules.of(plans[-1])
    if not _open(summary.verdict):
        return newest
    return replace(newest, comparisons=newest.comparisons[:1], alpha=alpha_after(plans), edition=EDITION)


def _open(verdict: Verdict) -> bool:
    """Whether the settings may still be proved, and no duel of them is under way."""
    watched = verdict.config.watched if verdict.config else None
    return verdict.kind in ("checkpoint", "no_difference", "not_tested") and (watched is None or watched.ended)


def _how_to_add(summary: Summary, rules: Rules) -> str:
    least = fewest_pairs(alpha=rules.alpha, live_share=rules.live_share)
    command = shlex.join(("python", "-m", "bracket", "prove", str(summary.folder)))
    return (
        "Pairs can be added without searching anew, as a duel of their own. It is held to an alpha of "
        f"{rules.alpha:.3g} and takes at least {least} of them. Press Add proof in the app, or run: {command}"
    )


def _pairs_for_observed(claim: ConfigClaim, rules: Rules) -> str:
    """How many pairs would likely confirm what was measured, where that is more than there are."""
    if not claim.sd or claim.mean_difference <= 0:
        return ""
    try:
        n = pairs_needed(claim.mean_difference, claim.sd, alpha=claim.alpha, power=POWER)
        if (final := rules.final_alpha(n, two_sided=False)) < claim.alpha:
            n = pairs_needed(claim.mean_difference, claim.sd, alpha=final, power=POWER)
    except ValueError:
        return ""
    if n <= claim.pairs:
        return ""
    size, often = f"{judged(claim.mean_difference)} points", percent(POWER)
    return f"If the true difference is the measured {size}, a duel of {n} pairs would find it {often} of the time."


def _pair_seconds(summary: Summary) -> float | None:
    """What one more pair costs, from the confirmation's trainings or else the finals'."""
    for name in (Round.CONFIRMATION, Round.FINALS):
        times = [r.train_seconds for ranked in summary.rounds.get(name, ()) for r in scored(ranked) if r.train_seconds]
        if times:
            return 2 * mean(times)
    return None


def _prompt_rows(claim: CheckpointClaim | None, rules: Rules) -> list[Row]:
    if claim is None or not claim.sd:
        return []
    return _detectable_rows(claim.prompts, f"fresh {claim.unit}s", _size_for(claim.sd, rules, two_sided=True))


def _pair_rows(claim: ConfigClaim | None, rules: Rules) -> list[Row]:
    if claim is None or not claim.sd:
        return []
    least = max(claim.pairs, fewest_pairs(alpha=rules.alpha, live_share=rules.live_share))
    size = _size_for(claim.sd, rules, two_sided=False)
    return _detectable_rows(least, "paired trainings", size, now=claim.pairs)


def _size_for(sd: float, rules: Rules, *, two_sided: bool) -> Callable[[int], float | None]:
    return lambda n: detectable_difference(
        sd, n, alpha=rules.final_alpha(n, two_sided=two_sided), power=POWER, two_sided=two_sided
    )


def _detectable_rows(n: int, units: str, size: Callable[[int], float | None], now: int | None = None) -> list[Row]:
    have = n if now is None else now
    return [
        Row((f"{count} {units}" + (" (as now)" if count == have else ""), judged(found)))
        for count in (n, 2 * n, 4 * n)
        if (found := size(count)) is not None
    ]


def _judge(summary: Summary) -> str:
    return f"the judge's, {summary.judge}" if summary.judge else "the judge's"


def _chance(claim: CheckpointClaim | ConfigClaim, p: float | None) -> str:
    """How often chance alone would say as much, as a share of tests."""
    if claim.watched and claim.decided:
        return f"at most {_percent_of(claim.watched.live_alpha)}"
    if p is None:
        return "an unknown share"
    return "fewer than 0.1 %" if p < 0.001 else _percent_of(p)


def _percent_of(share: float) -> str:
    return f"{share * 100:.1f} %"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
