"""Two pictures side by side: what both orders of showing them say together, and which pairs are worth asking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bracket.judges.asking import Answer
from bracket.judges.vlm.answers import by_chances, read_choice, shares_of, wavers

OTHER_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("tie", "equal", "draw", "same", "both", "neither"), "T"),
    "first": "A",
    "second": "B",
}


@dataclass(frozen=True)
class Verdict:
    """What a pair's two answers say: 1 for the first picture, 0 for the second, 0.5 for a tie.

    `flipped` when they chose opposite pictures; not `answered` when one of them could not be read. Both are ties.
    """

    value: float
    flipped: bool = False
    answered: bool = True


def together(forth: Answer, back: Answer, options: Sequence[str]) -> Verdict:
    """Both orders as one verdict on the first picture of `forth`, which is the second of `back`.

    Judges often prefer a place rather than a picture (arXiv 2502.15210, 2410.16983); one that always says A is flipped
    on every pair and decides none.
    """
    one, other = read_pair(forth, options), read_pair(back, options)
    if one is None or other is None:
        return Verdict(0.5, answered=False)
    (value, side), (swapped, swapped_side) = one, other
    if {side, swapped_side} <= {0.0, 1.0} and side == swapped_side:
        return Verdict(0.5, flipped=True)
    return Verdict(even((value + 1 - swapped) / 2))


def even(value: float) -> float:
    """The value on a grid of powers of two, on which 1 - (1 - value) is exactly value."""
    return round(value * 2**20) / 2**20


def read_pair(answer: Answer, options: Sequence[str]) -> tuple[float, float] | None:
    """(expected value for the picture shown as A, the side chosen: 1, 0 or 0.5); None when it can't be read."""
    if by_chances(answer):
        shares = shares_of(answer, options)
        if shares is None or (wavers(answer) and read_choice(answer.texts[0], options, OTHER_WORDS) is None):
            return None
        a, b, tie = shares
        side = 1.0 if a > max(b, tie) else 0.0 if b > max(a, tie) else 0.5
        return a + tie / 2, side
    worth = dict(zip(options, (1.0, 0.0, 0.5), strict=True))
    found = [worth[c] for c in (read_choice(t, options, OTHER_WORDS) for t in answer.texts) if c]
    if not found or 2 * len(found) < len(answer.texts):
        return None
    value = sum(found) / len(found)
    return value, 1.0 if value > 0.5 else 0.0 if value < 0.5 else 0.5


def close_pairs(scores: Mapping[str, float], limit: int, top: int = 0) -> list[tuple[str, str]]:
    """Which pairs of configs to ask about: neighbours in rank first, then those two ranks apart, and so on.

    Close candidates are where a score decides nothing and a look at both may. The choice is made once, from scores
    alone and before any pair is asked: choosing further pairs by the answers so far biases a Bradley–Terry fit, which
    is why Chatbot Arena gave that up. It is balanced too: every distance is taken whole, so all configs are asked about
    equally often but for the ends of the list; where the limit cuts a distance short, its pairs are taken evenly from
    all ranks. With `limit` of one less than the configs or more, all are linked.

    Args:
        scores: by config; higher is better.
        limit: at most so many pairs.
        top: only the best so many configs; 0 for all.
    """
    ranked = sorted(scores, key=lambda name: (-scores[name], name))[: top or None]
    pairs: list[tuple[str, str]] = []
    for distance in range(1, len(ranked)):
        ring = list(zip(ranked, ranked[distance:], strict=False))
        left = limit - len(pairs)
        if left <= 0:
            break
        if left < len(ring):
            ring = [ring[(2 * i + 1) * len(ring) // (2 * left)] for i in range(left)]
        pairs += ring
    return pairs
