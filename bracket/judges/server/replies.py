"""What a server's chat completion says: its text, and the chance of each option where it gives log-probabilities."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bracket.judges.server.http import Garbage

FLOOR = 0.5
"""Under this coverage the model more likely wanted to say something else, and the options' chances mean nothing."""
_AROUND = " \t\r\n▁ĠĊ\"'`*_.,:;!()[]{}"
"""What a token may have around an option and still be that option; ▁, Ġ and Ċ are blanks of raw vocabularies."""
_THOUGHT = re.compile(r"^.*</think>|^\s*<think>.*$", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Reply:
    """One answer of a model.

    Attributes:
        text: what it said, without what it thought; "" when it said nothing.
        chances: probability of each option, adding up to 1; None when they can't be had.
        coverage: probability of all options together before; 1 where there are no log-probabilities.
        measured: whether the server gave log-probabilities at all.
        cut_short: it ran out of room before it was done.
        refused: the text is a refusal.
    """

    text: str
    chances: Mapping[str, float] | None = None
    coverage: float = 1.0
    measured: bool = False
    cut_short: bool = False
    refused: bool = False


def read_reply(data: Mapping[str, Any], options: Sequence[str]) -> Reply:
    """The first choice of a chat completion.

    Raises:
        Garbage: it is no chat completion.
    """
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Garbage("its answer holds no choices")
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, dict):
        raise Garbage("its answer holds no message")
    finish = choice.get("finish_reason")
    spoken = _THOUGHT.sub("", _joined(message.get("content"))).strip()
    refusal = _joined(message.get("refusal")).strip()
    if not spoken and (refusal or finish == "content_filter"):
        return Reply(refusal or "(held back by the server's content filter)", refused=True)
    # Some servers put a model's whole answer where its thoughts belong; only an answer in the form asked for counts.
    thought = unwrapped(_joined(message.get("reasoning_content") or message.get("reasoning")), options)
    text = unwrapped(spoken, options) or (thought if thought in options else "")
    tokens = _tokens(choice.get("logprobs"))
    chances, coverage = read_chances(tokens, spoken, options) if tokens else (None, 1.0)
    return Reply(text, chances, coverage, bool(tokens), cut_short=finish == "length")


def _joined(content: Any) -> str:
    """A message's text: a string, or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [p if isinstance(p, str) else p.get("text") for p in content if isinstance(p, str | dict)]
        return "".join(p for p in parts if isinstance(p, str))
    return ""


def unwrapped(text: str, options: Sequence[str]) -> str:
    """The option in a JSON answer of the form that `answer_format` asks for; any other text as it is."""
    bare = re.sub(r"^```(?:json)?|```$", "", text.strip()).strip()
    if not bare.startswith("{"):
        return text
    try:
        found = json.loads(bare)
    except (ValueError, RecursionError):
        return text
    answer = str(found.get("answer", "")).strip().casefold() if isinstance(found, dict) else ""
    return next((o for o in options if o.casefold() == answer), text)


def answer_format(options: Sequence[str]) -> dict[str, Any]:
    """A `response_format` that lets the model say one of the options and nothing else."""
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "string", "enum": list(options)}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}


Token = tuple[str, dict[str, float]]
"""A token that was said, and the probability of each that could have stood in its place."""


def _tokens(logprobs: Any) -> list[Token]:
    """The log-probabilities of a choice, in the form of today's chat completions or of the older plain ones."""
    if not isinstance(logprobs, dict):
        return []
    content, plain, tops = (logprobs.get(k) for k in ("content", "tokens", "top_logprobs"))
    if isinstance(content, list):
        entries = [e for e in content if isinstance(e, dict) and isinstance(e.get("token"), str)]
        found = [(e["token"], _probabilities([e, *_dicts(e.get("top_logprobs"))])) for e in entries]
    elif isinstance(plain, list) and isinstance(tops, list):
        pairs = [(str(t), top) for t, top in zip(plain, tops, strict=False) if isinstance(top, dict)]
        found = [(t, _probabilities([{"token": k, "logprob": v} for k, v in top.items()])) for t, top in pairs]
    else:
        return []
    # A list of the said tokens alone says nothing of what else could have been said.
    return found if any(len(p) > 1 for _, p in found) else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def _probabilities(entries: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Probability by token; what is no log-probability is left out."""
    found: dict[str, float] = {}
    for entry in entries:
        token, value = entry.get("token"), entry.get("logprob")
        if isinstance(token, str) and isinstance(value, int | float) and value <= 1e-3:
            found.setdefault(token, math.exp(max(-1e4, min(0.0, value))))
    return found


def read_chances(tokens: Sequence[Token], said: str, options: Sequence[str]) -> tuple[dict[str, float] | None, float]:
    """The chance of each option at the first token of the answer that has a letter or a digit, and their coverage.

    An option counts with all its forms (a blank before it, other case, a full stop after it), and by a beginning of two
    letters or more that no other option shares. One that is not among the tokens listed gets the most it can have: no
    more than the least likely of them, nor its part of what they leave.

    Args:
        tokens: all that the model said, what it thought included.
        said: the answer itself, which the tokens end with.

    Returns:
        (None, coverage) below `FLOOR`; (None, 1) when nothing can be measured: the answer isn't found among the tokens,
        or one token can't tell the options apart ("1" and "10").
    """
    place = _place(tokens, said)
    if place is None or any(a != b and b.startswith(a) for a in options for b in options):
        return None, 1.0
    token, listed = tokens[place]
    sums: dict[str, float] = {}
    for other, probability in listed.items():
        option = _meant(other, options)
        # "A" may begin "A fine picture" as well as "Awful": what was said in fact is known.
        if option is not None and (other != token or _folded(said).startswith(_folded(option))):
            sums[option] = sums.get(option, 0.0) + probability
    coverage = min(1.0, sum(sums.values()))
    if coverage < FLOOR:
        return None, coverage
    missing = [o for o in options if o not in sums]
    left = max(0.0, 1.0 - sum(listed.values()))
    most = min(min(listed.values()), left / len(missing)) if missing else 0.0
    whole = sum(sums.values()) + most * len(missing)
    return {o: sums.get(o, most) / whole for o in options}, coverage


def _folded(text: str) -> str:
    return text.strip(_AROUND).casefold()


def _meant(token: str, options: Sequence[str]) -> str | None:
    """The option that a first token means, if it means one."""
    word = _folded(token)
    whole = [o for o in options if o.casefold() == word]
    begun = [o for o in options if o.casefold().startswith(word)] if len(word) > 1 else []
    found = whole or begun
    return found[0] if len(found) == 1 else None


def _place(tokens: Sequence[Token], said: str) -> int | None:
    """Where the answer begins among the tokens, which may begin with thoughts and end with marks that aren't shown."""
    last = len(tokens)
    while last and re.fullmatch(r"\s*|<[^<>]+>", tokens[last - 1][0]) and not said.endswith(tokens[last - 1][0]):
        last -= 1
    start = "".join(t for t, _ in tokens[:last]).rfind(said)
    if not said or start < 0:
        return None
    end = 0
    for i, (token, _) in enumerate(tokens[:last]):
        end += len(token)
        if end > start and any(c.isalnum() for c in token):
            return i
    return None
