"""A verdict in words. Units and n are always named; a claim about a file is never worded as one about settings.

What was judged is told in points of 100, as everywhere that people read; claims hold it in 0..1.
"""

from __future__ import annotations

from typing import TypeVar

from bracket.stats.duel.claims import INVERSION, CheckpointClaim, ConfigClaim, PairedClaim
from bracket.stats.duel.keep import FEWEST, Keep
from bracket.stats.duel.sequential import Watched
from bracket.stats.duel.signflip import smallest_n
from bracket.stats.duel.verdict import Verdict, plural

_Claim = TypeVar("_Claim", CheckpointClaim, ConfigClaim)


def sentence(verdict: Verdict, winner_label: str) -> str:
    """The verdict as two to four plain sentences of Markdown; only the label is set bold.

    Args:
        verdict: what was decided.
        winner_label: the winner's settings in a few words, e.g. "lr 3e-4, rank 16", made safe for Markdown.

    Raises:
        ValueError: a verdict, read from elsewhere, that lacks the claim it is about.
    """
    name = f"**{winner_label}**"
    if verdict.kind == "baseline_leads":
        parts = ["Nothing beat the baseline in the finals, so there was nothing to confirm.", f"{name} stays the best."]
        return " ".join(parts + _seed_note(verdict))
    parts = [_opening(verdict, name)]
    if verdict.about == "config":
        parts += [_config_result(verdict), *_pictures(verdict, "This file's")]
    elif verdict.about == "checkpoint":
        parts += [*_pictures(verdict, "Its"), f"This is about this LoRA file; {_settings_progress(verdict)}"]
    elif verdict.kind == "judge_refused":
        parts += [*_pictures(verdict, "By these scores its"), "Another judge may score the same pictures again."]
    else:
        parts += [*_pictures(verdict, "Its"), *_found_nothing(verdict)]
    return " ".join(parts + kept(verdict) + _seed_note(verdict))


def short_sentence(verdict: Verdict, winner_label: str, *, points: bool = True) -> str:
    """The verdict on one line without Markdown; `points=False` words it as certificates without scales have it."""
    return _shortly(verdict, winner_label, points) + unrecommended(verdict)


def _shortly(verdict: Verdict, winner_label: str, points: bool) -> str:
    checkpoint, config = verdict.checkpoint, verdict.config
    if verdict.kind == "baseline_leads":
        return f"Nothing beat the baseline in the finals; {winner_label} stays the best"
    if verdict.kind == "not_tested":
        return f"{winner_label} leads, but it has not been confirmed"
    if verdict.kind == "judge_refused":
        return f"{winner_label} leads, but {verdict.gate}"
    if verdict.kind == "no_difference":
        return f"No difference found between {winner_label} and the baseline ({_tested_on(checkpoint, config, points)})"
    lost = verdict.kind == "baseline_wins"
    subject = f"The baseline beats {winner_label}, with" if lost else f"{winner_label} wins:"
    if verdict.about == "config":
        claim = _required(config)
        runs = plural(claim.pairs, "paired training seed")
        if claim.says == "often":
            taken = f"{claim.lost if lost else claim.won} of {runs}"
            return f"{subject} {taken}, about the settings"
        if not points:
            return f"{subject} {_signed(claim.mean_difference, 1)} mean score over {runs}, about the settings"
        size = _size(abs(claim.mean_difference))
        return f"{subject} pictures judged {size} higher over {runs}, about the settings"
    file = _required(checkpoint)
    share = f"{_percent(file.win_rate)} of {_pictures_of(file)}"
    return f"{subject} {share} ({_rate_interval(file)}), about this LoRA file"


def kept(verdict: Verdict) -> list[str]:
    """What the winner's file keeps of what the base could, and whether that is as much as was asked."""
    found = verdict.kept
    if found is None:
        return []
    asked = f"{found.at_least:.0f} % were asked, so it is not recommended."
    if found.winner is None:
        return [f"What its file keeps of what the base could was not told; {asked}"] if found.at_least else []
    if found.winner.share is None:
        return ["The base could draw none of the prompts without the trigger word, so there is nothing to keep."]
    beside = found.baseline.share if found.baseline else None
    other = f"; the baseline's keeps {_percent(beside)}" if beside is not None else ""
    said = (
        f"Its file keeps {_percent(found.winner.share)} of what the base could ({keep_interval(found.winner)}){other}."
    )
    return [said] if found.enough else [said, f"At least {asked}"]


def keep_interval(found: Keep) -> str:
    """The unit and the interval of what is kept: "6 prompts without the trigger word, from 71 % to 97 %"."""
    prompts = f"{plural(found.prompts, 'prompt')} without the trigger word"
    if found.prompts < FEWEST:
        return f"{prompts}, too few for an interval"
    high = "any" if found.high is None else _percent(found.high)
    return f"{prompts}, {_level(found.level)} interval {_percent(found.low or 0.0)} to {high}"


def unrecommended(verdict: Verdict) -> str:
    """What follows a verdict on one line whose winner keeps less than was asked; "" for the others."""
    if verdict.kept is None or verdict.recommended:
        return ""
    keep, least = verdict.kept.winner, f"{verdict.kept.at_least:.0f} %"
    share = _percent(keep.share) if keep and keep.share is not None else "an unknown part"
    return f"; not recommended, as it keeps {share} of what the base could and {least} were asked"


def evidence(watched: Watched, unit: str) -> str:
    """How a duel that was decided while it was watched came to that; `unit` in the singular."""
    needed = watched.e_needed if watched.decided == "winner" or watched.two_sided else 2 * watched.e_needed
    return (
        f"decided while watching: the e-value reached {needed:.0f} at {unit} {watched.decided_at} of {watched.planned}"
    )


def hopeless(watched: Watched, unit: str) -> str:
    """Why a duel that ended hopeless did; `unit` in the singular."""
    return (
        f"it ended after {watched.units} of {plural(watched.planned, unit)}: whatever the rest had shown, p could no "
        f"longer have come down to {watched.final_alpha:.3g}"
    )


def _required(claim: _Claim | None) -> _Claim:
    if claim is None:
        raise ValueError("the verdict lacks the claim it is about")
    return claim


def _opening(verdict: Verdict, name: str) -> str:
    return {
        "config": f"{name} wins.",
        "checkpoint": f"{name} wins.",
        "baseline_wins": f"{name} led the search, but the baseline beats it.",
        "no_difference": (
            f"No difference found: {name} led the search, but fresh tests can't tell it from the baseline."
        ),
        "not_tested": f"{name} leads the search, but that is not a finding yet.",
        "judge_refused": f"{name} leads by this judge's scores, but {verdict.gate}.",
    }[verdict.kind]


def _config_result(verdict: Verdict) -> str:
    claim = _required(verdict.config)
    way, other = ("higher", "lower") if claim.mean_difference > 0 else ("lower", "higher")
    p = claim.p_two_sided if verdict.kind == "baseline_wins" else verdict.config_p
    sides = "two-sided" if verdict.kind == "baseline_wins" else "one-sided"
    reached = evidence(claim.watched, "pair") if claim.watched and claim.decided else f"{sides} p = {_p(p)}"
    began = f"Trained afresh with {plural(claim.pairs, 'new seed')} each, these settings"
    size = f"{_size(abs(claim.mean_difference))} {way} than the baseline's"
    surely = f"({interval(claim)}, {reached})"
    if claim.says in (None, "average"):
        return f"{began} are judged {size} on average, on a scale from 0 to 100 {surely}."
    side = "winner" if claim.mean_difference > 0 else "baseline"
    taken = f"{claim.won if side == 'winner' else claim.lost} of {claim.pairs}"
    shown = "win more often than they lose" if side == "winner" else "lose more often than they win"
    first = (
        f"{began} {shown}: " if claim.says else f"{began} and the baseline's are not alike: the {side}'s are ahead in "
    )
    return (
        f"{first}{taken} pairs, where they are judged {size}, on a scale from 0 to 100 {surely}. For a claim about the "
        f"average so few pairs are not enough: a rare one judged much {other} could make up for it."
    )


def _pictures(verdict: Verdict, whose: str) -> list[str]:
    claim = verdict.checkpoint
    if claim is None:
        return []
    only = "only " if verdict.about == "checkpoint" and claim.win_rate < 0.5 else ""
    return [
        f"{whose} pictures beat the baseline's in {only}{_percent(claim.win_rate)} of {_pictures_of(claim)} "
        f"({_percent(1 - claim.alpha)} interval {_rate_interval(claim)})."
    ]


def _settings_progress(verdict: Verdict) -> str:
    claim = verdict.config
    least = smallest_n(verdict.final_alpha, two_sided=False)
    if claim is None:
        return f"for the settings, none of {least} needed runs is done."
    if not claim.can_support:
        least = claim.pairs + claim.pairs_needed
        if claim.complete:  # what was planned is there; pairs that are added are a duel of their own (`tries`)
            were = "was" if claim.pairs == 1 else "were"
            return f"for the settings, {plural(claim.pairs, 'paired run')} {were} planned, and a claim takes {least}."
        return f"for the settings, {claim.pairs} of {least} needed runs {'is' if claim.pairs == 1 else 'are'} done."
    return f"for the settings, {_undecided(claim)}"


def _found_nothing(verdict: Verdict) -> list[str]:
    """What the duel could have found, or what it lacks."""
    checkpoint, config = verdict.checkpoint, verdict.config
    if checkpoint is None and config is None:
        return ["No fresh prompts or training seeds were tried."]
    parts = []
    if checkpoint and checkpoint.can_support:
        parts += _stopped("The duel of the two files", checkpoint, checkpoint.unit)
        planned = checkpoint.watched.planned if checkpoint.watched else checkpoint.prompts
        parts.append(f"For this LoRA file, {_could_have_found(checkpoint, plural(planned, checkpoint.unit))}")
    elif checkpoint:
        least = checkpoint.prompts + checkpoint.prompts_needed
        parts.append(f"A claim about this LoRA file needs at least {least} fresh {checkpoint.unit}s.")
    progress = _settings_progress(verdict)
    return [*parts, progress[0].upper() + progress[1:]]


def _undecided(claim: ConfigClaim) -> str:
    pairs = plural(claim.pairs, "paired training seed")
    verb, whom = ("differs", "it") if claim.pairs == 1 else ("differ", "them")
    shown = f"{pairs} {verb} by {_signed(claim.mean_difference)} points on average ({interval(claim)}); "
    if claim.watched and not claim.complete and not claim.decided:
        return f"{shown}{hopeless(claim.watched, 'pair')}."
    return f"{shown}{_could_have_found(claim, whom)}"


def _stopped(what: str, claim: PairedClaim, unit: str) -> list[str]:
    if claim.watched is None or claim.complete or claim.decided:
        return []
    return [f"{what} can't tell them apart: {hopeless(claim.watched, unit)}."]


def _could_have_found(claim: PairedClaim, units: str) -> str:
    if not claim.sd or claim.detectable is None:
        return f"every pair differs by {_signed(claim.mean_difference)} points."
    share, size = _percent(claim.power), _size(claim.detectable)
    return f"a true mean difference of {size} would have been found by {units} {share} of the time."


def _tested_on(checkpoint: CheckpointClaim | None, config: ConfigClaim | None, points: bool) -> str:
    claims = []
    if checkpoint and checkpoint.can_support:
        claims.append((plural(checkpoint.prompts, f"fresh {checkpoint.unit}"), checkpoint.detectable))
    if config and config.can_support:
        claims.append((plural(config.pairs, "paired training seed"), config.detectable))
    return "; ".join(
        units if size is None else f"{units}, {_size(size, 100 if points else 1)} could have been found"
        for units, size in claims
    )


def _seed_note(verdict: Verdict) -> list[str]:
    return ["The winner was chosen on a single training seed."] if verdict.single_seed else []


def _pictures_of(claim: CheckpointClaim) -> str:
    prompts = plural(claim.prompts, f"fresh {claim.unit}")
    return prompts if claim.sample_seeds == 1 else f"{claim.pairs} picture pairs from {prompts}"


def _rate_interval(claim: CheckpointClaim) -> str:
    return f"{round(100 * claim.win_rate_low)}–{round(100 * claim.win_rate_high)} %"


def interval(claim: PairedClaim) -> str:
    """Of the mean difference, with its level and what it assumes, in words."""
    low, high = claim.difference_low, claim.difference_high
    if claim.interval_method == INVERSION:
        sides = 2 if isinstance(claim, CheckpointClaim) else 1
        if low is not None and (high is None or low >= 0) and sides == 1:
            return f"at least {_signed(low)} points, {_level(1 - claim.alpha)} sure"
        if high is not None and (low is None or high <= 0) and sides == 1:
            return f"at most {_signed(high)} points, {_level(1 - claim.alpha / 2)} sure"
        if low is None or high is None:
            return "too few for an interval"
        return f"{_level(claim.interval_level)} interval {_signed(low)} to {_signed(high)} points"
    if claim.interval_method != "confidence_sequence" and low is None:
        return "no interval from one value"
    if low is None or high is None:
        return "too few for an interval that holds whatever ended the duel"
    assumed = {
        "t": ", assuming normal differences",
        "confidence_sequence": ", which holds whatever ended the duel",
    }.get(claim.interval_method, "")
    return f"{_percent(claim.interval_level)} interval {_signed(low)} to {_signed(high)} points{assumed}"


def _percent(share: float) -> str:
    return f"{round(100 * share)} %"


def _level(share: float) -> str:
    return f"{100 * share:.3g} %"


def _signed(difference: float, most: int = 100) -> str:
    """On a scale from 0 to `most`."""
    text = f"{most * difference:+.{_places(most)}f}"
    return text if text.strip("+-0.") else text[1:]


def _size(difference: float, most: int = 100) -> str:
    unit, places = " points" if most > 1 else "", _places(most)
    return f"{most * difference:.{places}f}{unit}" if difference >= 0.0005 else f"under {0.1**places:.{places}f}{unit}"


def _places(most: int) -> int:
    return 1 if most > 1 else 3


def _p(value: float | None) -> str:
    return "not computed" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
