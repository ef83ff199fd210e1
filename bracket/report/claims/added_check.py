"""Added duels in a certificate: whether each kept to the rules of `stats.duel.tries`, and its numbers once more."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bracket.report.claims.added import claim_of
from bracket.report.claims.again import alpha_after, earlier_of
from bracket.report.claims.compare import differences
from bracket.report.claims.evidence import hash_of
from bracket.report.claims.scores import RUNNER_UP, Rules
from bracket.report.summary import Addition, Pair
from bracket.stats.duel.claims import ConfigClaim


def pairs_again(rows: Sequence[Mapping[str, Any]]) -> tuple[Pair, ...]:
    """The pairs of a certificate."""
    return tuple(Pair(p["seed"], p["winner"], p["baseline"], p.get(RUNNER_UP), tuple(p.get("lost", ()))) for p in rows)


def addition_again(row: Mapping[str, Any]) -> Addition:
    """An added duel of a certificate, or the confirmation's own."""
    return Addition(row["plan"], pairs_again(row["pairs"]), left_out_of(row))


def left_out_of(row: Mapping[str, Any]) -> tuple[int, ...]:
    """The planned seeds without a pair, of an added duel or the confirmation's own; up to version 4 they are bare."""
    return tuple(left["seed"] if isinstance(left, Mapping) else left for left in row.get("left_out", ()))


def check_additions(data: Mapping[str, Any], added: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One sentence per mismatch.

    Args:
        added: the certificate's additions, which `data` may not name.

    Raises:
        KeyError, TypeError, ValueError: the certificate is damaged.
    """
    if not added:
        return
    used = set(data["choosing"]["training_seeds"]) | set(data["plan"]["training_seeds"])
    plans = [data["plan"]]
    yield from differences("first_claim", data["first_claim"], _plain(claim_of(addition_again(data))))
    for number, row in enumerate(added, start=2):
        yield from _check_plan(f"The plan of duel {number}", row, plans)
        seeds = row["plan"]["training_seeds"]
        if old := sorted(used & set(seeds)):
            yield f"The training seed {old[0]} of duel {number} was used before, so it is not fresh."
        kept = [seed for seed in seeds if seed not in left_out_of(row)]
        if [pair["seed"] for pair in row["pairs"]] != kept[: len(row["pairs"])]:
            yield f"The paired runs' seeds of duel {number} are not those of its plan, in its order."
        place = f"additions.{number - 2}.claim"
        yield from differences(place, row["claim"], _plain(claim_of(addition_again(row))))
        used |= set(seeds)
        plans.append(row["plan"])


def _check_plan(name: str, row: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    plan, first = row["plan"], earlier[0]
    if row["plan_sha256"] != hash_of(plan):
        yield f"{name} was changed after it was hashed."
    if (plan["winner"], plan["baseline"]) != (first["winner"], first["baseline"]):
        yield f"{name} compares other settings than the first."
    if len(Rules.of(plan).comparisons) != 1:
        yield f"{name} names more comparisons than that with the baseline."
    edition = max(one.get("edition", 1) for one in (*earlier, plan))
    left = alpha_after(earlier, earlier_of(plan), edition)
    if not math.isclose(plan["alpha"], left):
        yield f"{name} has an alpha of {plan['alpha']:g}; the duels before it leave {left:g}."


def _plain(claim: ConfigClaim | None) -> dict[str, Any] | None:
    return claim.as_dict() if claim else None
