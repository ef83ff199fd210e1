"""What an answer is worth: a value of 0..1 with its spread, from probabilities or from what a model wrote.

What a model wrote is read strictly: an answer that could mean two things, that refuses, or that names a number outside
the scale is None, never a guess.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bracket.judges.asking import Answer

Rank = Callable[[str], float | None]
"""Reads a bare answer; None for anything else."""
EXPECTED = "expected value"
LOW_COVERAGE = 0.5
"""Below it an answer by probabilities is counted as uncertain."""
LEAST_COVERAGE = 0.05
"""Below it the model wanted to say something else (a refusal), and what is left is noise."""

_THOUGHT = r"think|thinking|thought|thoughts|reasoning|reflection"
_KEYS = ("answer", "score", "rating", "choice", "verdict", "result", "value", "winner", "better", "label", "response")
_LABEL = re.compile(
    r"\b(?:answer|score|rating|verdict|choice|winner|result)\b\W{0,6}?(?:\s*(?:is|was|:|=|-|–)\s*)+[\s*_`\"'(\[{]*(?:(?:picture|image|option)\s+)?"
    r"(?P<said>[^\W_]+(?:[.,]\d+)?(?:\s*/\s*\d+|\s+(?:out\s+)?of\s+\d+)?)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?P<n>-?\d+(?:[.,]\d+)?)(?:\s*(?:/|out\s+of|of)\s*(?P<of>\d+))?")
_REFUSAL = re.compile(
    r"\b(?:i\s*(?:'m|\s+am)\s+(?:sorry|unable|not\s+able|not\s+comfortable)"
    r"|i\s+(?:can\s?not|can'?t|won'?t|will\s+not|must\s+decline|do\s+not\s+feel|don'?t\s+feel)"
    r"|(?:sorry|apologi[sz]e|apologies)\b|as\s+an?\s+(?:ai|language\s+model)|against\s+(?:my|our|the)\s+polic)",
    re.IGNORECASE,
)
_NOT = re.compile(r"(?:\bnot|\bno|\bnever|\bhardly|\bneither|\bnor|\bless than|n't)(?:\s+\w+){0,2}\s*$", re.IGNORECASE)
_FILLERS = frozenset(("an", "the", "that", "it", "this", "as", "to", "of"))
"""After a label they lead to the answer, but aren't one. ("a" may be one.)"""
_CONCLUDES = re.compile(
    r"\b(?:rate|rated|rating|call|overall|therefore|thus|hence|conclusion|judge|say|whole)\b", re.IGNORECASE
)
_MOST = 20_000
"""Characters at the end of an answer that are read; a server may send any amount of rubbish."""
_STRAIGHT = dict(zip(map(ord, "\u2018\u2019\u201c\u201d"), "''\"\"", strict=True))
_SHORT = 25
"""Words of an answer in which a lone word of the scale is taken for the answer."""


@dataclass(frozen=True)
class Reading:
    """What an answer is worth: 0..1, its standard deviation, and how it was had. None when it could not be read."""

    value: float | None
    spread: float = 0.0
    how: str = ""


def read_scale(answer: Answer, options: Sequence[str], values: Sequence[float]) -> Reading:
    """The expected value over the options' probabilities, else the median of what was written.

    Where the options had little of the probability, what the model wrote tells what the rest was for: several texts
    count in place of the probabilities, and a single one must at least be an answer.

    Args:
        options: the scale's words, from worst to best.
        values: what each is worth, rising.
    """
    if by_chances(answer):
        shares = shares_of(answer, options)
        if shares is None or (wavers(answer) and read_rank(answer.texts[0], options) is None):
            return Reading(None)
        value = sum(p * v for p, v in zip(shares, values, strict=True))
        variance = sum(p * (v - value) ** 2 for p, v in zip(shares, values, strict=True))
        return Reading(min(max(value, values[0]), values[-1]), math.sqrt(variance), EXPECTED)
    ranks = [r for r in (read_rank(t, options) for t in answer.texts) if r is not None]
    # Fewer than half means that it mostly refused; what slipped through is no sample of its opinion.
    if not ranks or 2 * len(ranks) < len(answer.texts):
        return Reading(None)
    found = [_between(values, r) for r in ranks]
    return Reading(statistics.median(found), statistics.pstdev(found), f"median of {len(found)}")


def by_chances(answer: Answer) -> bool:
    """Whether the probabilities are to be read, not the texts."""
    return answer.chances is not None and (answer.coverage >= LOW_COVERAGE or len(answer.texts) < 2)


def wavers(answer: Answer) -> bool:
    """Whether its only text must confirm the probabilities, which say little."""
    return answer.coverage < LOW_COVERAGE and bool(answer.texts)


def shares_of(answer: Answer, options: Sequence[str]) -> list[float] | None:
    """The options' probabilities, adding up to 1; None when there is too little behind them."""
    shares = [float((answer.chances or {}).get(o, 0.0)) for o in options]
    total = sum(shares)
    if not all(math.isfinite(s) and s >= 0 for s in shares) or not total > 0 or not answer.coverage >= LEAST_COVERAGE:
        return None
    return [s / total for s in shares]


def read_rank(text: str, options: Sequence[str]) -> float | None:
    """Where on the scale a text puts its answer: 0 is the first (worst) option, fractions lie between two.

    Understands a word of the scale, its place ("4", "4/5" or "Score: 3.5" on a scale of five, counted from 1), JSON and
    code fences around them, and prose that names just one; thoughts of the model are left out.
    """
    return _read(text, lambda said: _rank(said, options), options)


def read_choice(text: str, options: Sequence[str], others: Mapping[str, str]) -> str | None:
    """Which of a few letters a text chooses, such as A, B or T; `others` are further words for them, in small letters
    ("tie" for T)."""

    def named(said: str) -> float | None:
        word = re.sub(r"^(?:picture|image|option)\s+", "", said.strip(), flags=re.IGNORECASE)
        word = others.get(word.casefold(), word)
        # As written only: in prose a small a is an article.
        return float(options.index(word)) if word in options else None

    alone = _bare(_spoken(text)).upper()
    rank = named(alone) if len(alone) == 1 else _read(text, named, ())
    if rank is None:
        rank = _better(_spoken(text), options)
    return None if rank is None else options[int(rank)]


def _read(text: str, rank: Rank, words: Sequence[str]) -> float | None:
    """The first way of reading that fits; `words` may be looked for in prose."""
    spoken = _spoken(text)
    if not spoken:
        return None
    inside = _from_json(spoken)
    if inside is not None:
        return rank(_bare(inside))
    whole = rank(_bare(spoken))
    if whole is not None:
        return whole
    labelled = [m["said"] for m in _LABEL.finditer(spoken) if m["said"].casefold() not in _FILLERS]
    if labelled:
        return _agreed([rank(said) for said in labelled])
    if _REFUSAL.search(spoken):
        return None
    lines = [_bare(line) for line in spoken.splitlines() if line.strip()]
    ends = [r for r in (rank(lines[0]), rank(lines[-1]), _opening(spoken, rank)) if r is not None]
    if ends:
        return _agreed(ends)
    return _mentioned(spoken, words)


def _spoken(text: str) -> str:
    """What a model said, without its thoughts and code fences; "" when it never came to an answer."""
    # Some templates open the thought themselves, so that only its end is in the text.
    text = re.split(rf"[<\u25c1]/(?:{_THOUGHT})[>\u25b7]", text, flags=re.IGNORECASE)[-1]
    if re.search(rf"[<\u25c1](?:{_THOUGHT})\b", text, re.IGNORECASE):
        return ""
    text = re.sub(r"[^\S\n]+", " ", text[-_MOST:])
    # Marks around the answer itself: <answer>, <|begin_of_box|>.
    text = re.sub(r"</?\|?[a-z_]{1,20}\|?>", " ", text, flags=re.IGNORECASE)
    lines = [line for line in text.split("\n") if line.strip() and not re.fullmatch(r"\s*```\w*\s*", line)]
    return "\n".join(lines).translate(_STRAIGHT).strip()


def _bare(text: str) -> str:
    """Without the marks people put around an answer."""
    return text.strip().strip("*_`\"'.,;:!()[]{}#> \t").strip()


def _rank(said: str, options: Sequence[str]) -> float | None:
    words = [o.casefold() for o in options]
    if said.casefold() in words:
        return float(words.index(said.casefold()))
    number = _NUMBER.fullmatch(said.strip())
    # With numbers for answers, a number that is none of them means nothing.
    if not number or any(w.isdigit() for w in words) or (number["of"] and int(number["of"]) != len(words)):
        return _of_own_scale(number, words) if number else None
    rank = float(number["n"].replace(",", ".")) - 1
    return rank if 0 <= rank <= len(words) - 1 else None


def _of_own_scale(number: re.Match[str], words: Sequence[str]) -> float | None:
    """ "4/5" where the answers are the numbers themselves and 5 is the last."""
    return float(words.index(number["n"])) if number["of"] == words[-1] and number["n"] in words else None


def _from_json(text: str) -> str | None:
    """The answer in a JSON object (which may stand in prose), "" when it holds none, None when there is no object."""
    start = text.find("{")
    if start < 0:
        return None
    try:
        data, _ = json.JSONDecoder().raw_decode(text[start:])
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    named = {str(k).casefold(): v for k, v in data.items() if _is_plain(v)}
    found = {str(named[k]).strip() for k in _KEYS if k in named}
    if not found and len(data) == 1:
        found = {str(v).strip() for v in named.values()}
    return found.pop() if len(found) == 1 else ""


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _opening(text: str, rank: Rank) -> float | None:
    """The answer that a text begins with ("Good - a sharp picture", "4/5. Sharp"). An article ("A picture") is none,
    nor is the number of a list's first item."""
    start = re.match(r"[\s*_`\"'(]*([^\W\d_]+|\d+(?:[.,]\d+)?\s*/\s*\d+)[*_`\"')]*\s*(?:[.:!]|[-–—]\s|\n|$)", text)
    return rank(start[1]) if start else None


def _mentioned(text: str, words: Sequence[str]) -> float | None:
    """The only word of the scale in a short text, or in the conclusion of a long one, that says nothing against it;
    "4/5" counts as a word."""
    if len(text.split()) > _SHORT:
        text = re.split(r"(?<=[.!?])\s|\n", text)[-1]
        if not _CONCLUDES.search(text) or len(text.split()) > _SHORT:
            return None
    if not words:
        return None
    found: set[float] = set()
    for i, word in enumerate(words):
        if word.isdigit():
            continue
        for match in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE):
            if _NOT.search(text[: match.start()]):
                return None
            found.add(float(i))
    for match in _NUMBER.finditer(text):
        rank = _rank(match[0], words) if match["of"] else None
        if match["of"] and rank is None:
            return None
        found |= {rank} - {None} if rank is not None else set()
    return found.pop() if len(found) == 1 else None


def _better(text: str, options: Sequence[str]) -> float | None:
    """Which picture a sentence calls better."""
    if _REFUSAL.search(text):
        return None
    letters = "|".join(re.escape(o) for o in options)
    verb = r"(?:is|looks|seems|wins|fits|matches)"
    good = r"(?:(?:clearly|slightly|much|overall|the)\s+)*(?:better|best|winner|preferred|superior)"
    pattern = rf"\b(?:picture|image|option)\s+({letters})\s+(?:{verb}\s+{good}|wins)\b"
    found = {m[1].casefold() for m in re.finditer(pattern, text, re.IGNORECASE)}
    return float([o.casefold() for o in options].index(found.pop())) if len(found) == 1 else None


def _agreed(found: Sequence[float | None]) -> float | None:
    """What all say, None when two differ or one could not be read."""
    return found[0] if found and all(f == found[0] for f in found) else None


def _between(values: Sequence[float], rank: float) -> float:
    """The scale's value at a place that may lie between two answers."""
    low = min(int(rank), len(values) - 2)
    return values[low] + (rank - low) * (values[low + 1] - values[low])
