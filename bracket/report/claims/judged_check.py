"""Who judged what, in a certificate: one judge, all of the plan's pictures and no others, and no training left out
without its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bracket.domain import SCALES, TIE_BAND, Outcome
from bracket.report.claims.added_check import left_out_of
from bracket.report.claims.again import earlier_of, first_alpha, whole_alpha
from bracket.report.claims.compare import same
from bracket.report.claims.scores import BASELINE, RUNNER_UP
from bracket.report.words import config_label
from bracket.stats.duel.sequential import EDITION, INVERTING
from bracket.stats.duel.tries import MOST_ALPHA
from bracket.stats.duel.verdict import Verdict

_SIDES = ("winner", BASELINE, RUNNER_UP)
KEEPING = ("winner", BASELINE, "base")
"""Whose pictures show what is kept."""
_ROW = {"prompt", "sample_seed", "judge", "score", "axes", "file", "sha256"}
_PAIR = {"seed", "ended", "lost", *_SIDES, *(f"{side}_judgements" for side in _SIDES)}
_KEYS = {
    *("format", "version", "scales", "session", "fingerprint", "versions", "preset", "settings", "judge", "choosing"),
    *("plan", "plan_sha256", "duel", "pairs", "left_out", "checkpoints", "votes", "sentence", "verdict", "shares"),
    *("flips", "first_claim", "additions", "keep", "seal"),
}


def check_judged(data: Mapping[str, Any], added: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One sentence per mismatch, in a certificate of today's version.

    Args:
        added: the certificate's additions, which `data` may not name.

    Raises:
        KeyError, TypeError, ValueError: the certificate is damaged.
    """
    pairs = [pair for duel in (data, *added) for pair in duel["pairs"]]
    rows = [*judgements_of(data, added)]
    strange = [*(set(data) - _KEYS), *(set().union(*pairs) - _PAIR), *(set().union(*rows) - _ROW)]
    yield from (f"The certificate holds {key!r}, which no session writes." for key in sorted(set(strange)))
    if data.get("scales", SCALES) != SCALES:  # the first certificates of this version name none
        yield "The certificate names other scales than its numbers have."
    yield from _check_plan(data)
    yield from _check_keep(data)
    yield from _check_judge(data, added)
    pictures = sorted(map(tuple, data["plan"]["pictures"]))
    for duel in (data, *added):
        for pair in duel["pairs"]:
            for side in _SIDES:
                if side in pair:
                    yield from _check_run(pair, side, pictures)
            lost = {side for side, ended in pair["ended"].items() if ended["outcome"] != Outcome.DIVERGED.value}
            if lost != set(pair.get("lost", ())):
                yield f"Seed {pair['seed']}: the trainings that were lost are not those that ended so."
        if duel["left_out"] and duel["plan"].get("edition", 1) >= INVERTING:
            yield "A training seed is left out, which the plan's rules don't allow."
        for left in duel["left_out"]:
            yield from _check_left_out(left)
        if strange := sorted(set(left_out_of(duel)) - set(duel["plan"]["training_seeds"])):
            yield f"The training seed {strange[0]} is left out, but was not planned."
    yield from _check_votes(data["votes"])


def names_again(data: Mapping[str, Any]) -> tuple[str, str, str]:
    """What the verdict calls winner and baseline, and what its sentence calls the winner, from the settings compared.

    A label names the settings in which the finalists differ.
    """
    finals, winner, baseline = data["choosing"]["finals"], data["plan"]["winner"], data["plan"]["baseline"]
    if winner is None:
        return "none", BASELINE, "the winner"
    names = {name for config in finals for name in config}
    varying = {name for name in names if len({str(config.get(name)) for config in finals}) > 1}
    label = config_label(winner, varying)
    return (BASELINE if winner == baseline else label), BASELINE, label


def _check_plan(data: Mapping[str, Any]) -> Iterator[str]:
    plan, verdict, asked = data["plan"], data["verdict"], data["settings"].get("confirmation") or {}
    if not 0 < plan["alpha"] <= MOST_ALPHA:
        yield f"The plan has an alpha of {plan['alpha']:g}; a session's is at most {MOST_ALPHA:g}."
    whole = whole_alpha(plan)
    for name, alpha, planned in (("verdict", verdict["alpha"], plan["alpha"]), ("settings", asked.get("alpha"), whole)):
        if alpha != planned:
            yield f"The {name} has an alpha of {alpha}, the plan {planned:g}."
    if plan.get("whole_alpha") and plan["alpha"] != (left := first_alpha(whole, earlier_of(plan))):
        yield f"The plan has an alpha of {plan['alpha']:g}; the tries before it leave {left:g} of {whole:g}."
    if plan.get("edition", 1) not in range(1, EDITION + 1):
        yield f"The plan names rules of an edition {plan['edition']} that there is not."
    if plan["winner"] is not None and plan["winner"] not in data["choosing"]["finals"]:
        yield "The plan's winner was not in the finals."


def _check_judge(data: Mapping[str, Any], added: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    judge = data["judge"]
    for plan in (data["plan"], *(row["plan"] for row in added)):
        if plan["judge"] not in ("", judge):
            yield f"The plan names the judge {plan['judge']!r}, the certificate {judge!r}."
    name = judge.rpartition(" ")[0]
    if others := sorted({row["judge"] for row in judgements_of(data, added)} - {name}):
        yield f"Pictures were judged by {others[0]!r}, and the plan's judge is {judge!r}."


def judgements_of(data: Mapping[str, Any], added: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Every judged picture that the verdict rests on, each once: the duel's are among those that show what is kept."""
    for rows in (data["duel"] or {}).values():
        yield from rows
    for pair in (pair for duel in (data, *added) for pair in duel["pairs"]):
        for side in _SIDES:
            yield from pair.get(f"{side}_judgements", ())
    for side, rows in data.get("keep", {}).items():
        known = {(row["prompt"], row["sample_seed"]) for row in (data["duel"] or {}).get(side, ())}
        yield from (row for row in rows if (row["prompt"], row["sample_seed"]) not in known)


def _check_keep(data: Mapping[str, Any]) -> Iterator[str]:
    """What shows how much is kept: all of the plan's pictures, those of the duel as they were judged there."""
    keep, wanted = data.get("keep"), list(map(list, data["plan"].get("plain", ())))
    if keep is None:
        claim = Verdict.from_dict(data["verdict"]).checkpoint
        if wanted and claim and claim.watched and claim.watched.ended:
            yield "The plan's pictures of prompts without the trigger word are missing, so nobody knows what was kept."
        return
    if set(keep) != set(KEEPING):
        yield "What was kept is not told of winner, baseline and bare base."
    for side, rows in keep.items():
        if [[row["prompt"], row["sample_seed"]] for row in rows] != wanted:
            yield f"The {side}'s pictures of prompts without the trigger word are not those of the plan, in its order."
        duel = {(row["prompt"], row["sample_seed"]): row for row in (data["duel"] or {}).get(side, ())}
        if any(duel.get((row["prompt"], row["sample_seed"]), row) != row for row in rows):
            yield f"The {side}'s pictures of prompts without the trigger word were judged otherwise in the duel."


def _check_run(pair: Mapping[str, Any], side: str, pictures: Sequence[tuple[str, int]]) -> Iterator[str]:
    """One training of a pair: it has all of the plan's pictures, or ended in a way that left none."""
    rows, ended, whose = pair[f"{side}_judgements"], pair["ended"].get(side), f"Seed {pair['seed']}: the {side}'s"
    if ended is not None:
        yield from _check_ended(whose, ended)
    if rows:
        if sorted((row["prompt"], row["sample_seed"]) for row in rows) != list(pictures):
            yield f"{whose} pictures are not those of the plan."
    elif pair[side] is not None and (ended is None or not same(pair[side], 0.0)):
        yield f"{whose} score of {pair[side]} has no judgements."


def _check_ended(whose: str, ended: Mapping[str, Any]) -> Iterator[str]:
    if ended["outcome"] not in {outcome.value for outcome in Outcome} - {Outcome.OK.value} or not ended["cause"]:
        yield f"{whose} training ended as {ended['outcome']!r}, without a cause."


def _check_left_out(left: Mapping[str, Any]) -> Iterator[str]:
    """A seed may be left out for reasons alone that are no fault of its settings."""
    whose = f"Seed {left['seed']}, which was left out: the"
    for side, ended in left["ended"].items():
        yield from _check_ended(f"{whose} {side}'s", ended)
    lost = {side for side, ended in left["ended"].items() if ended["outcome"] != Outcome.DIVERGED.value}
    if not lost & {"winner", BASELINE}:
        yield f"The training seed {left['seed']} was left out, and nothing says why."


def _check_votes(votes: Mapping[str, Any] | None) -> Iterator[str]:
    """The judge's choices beside a person's follow from its scores of the same pictures."""
    if votes is None:
        return
    pairs = votes["pictures"]
    if not len(pairs) == len(votes["judged"]) == len(votes["voted"]):
        yield "There are not as many votes as pictures that were voted on."
        return
    for (one, other), judged in zip(pairs, votes["judged"], strict=True):
        gap = one["score"] - other["score"]
        if judged != (0.5 if abs(gap) < TIE_BAND else float(gap > 0)):
            yield f"The judge's choice between {one['file']} and {other['file']} is not that of its scores."
