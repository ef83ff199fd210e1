"""What a server can do for one model: found out by trying, and remembered for the time it can't be reached."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bracket.environment import user_cache
from bracket.errors import StorageError
from bracket.files import read_json, write_json
from bracket.judges.server.replies import answer_format

log = logging.getLogger(__name__)

Mode = Literal["probabilities", "schema", "plain"]
TOP = 20
"""Log-probabilities asked for at each token; what OpenAI and vLLM give at most."""
TOKENS, MOST_TOKENS = 2048, 8192
"""Room for an answer, thoughts included, and for one that ran out of it. A word is done long before."""


@dataclass(frozen=True)
class Capabilities:
    """What may stand in a request.

    Attributes:
        top: log-probabilities asked for at each token; 0 for none.
        schema: whether an answer's form can be prescribed.
        temperature, seed: whether they can be set.
        limit: the name of the limit on an answer's tokens; "" when it can't be set.
        tokens: that limit.
    """

    top: int = TOP
    schema: bool = True
    temperature: bool = True
    seed: bool = True
    limit: str = "max_tokens"
    tokens: int = TOKENS

    @property
    def mode(self) -> Mode:
        """How answers are had: the options' probabilities, one of the options for sure, or free text."""
        return "probabilities" if self.top else "schema" if self.schema else "plain"

    def request(self, options: Sequence[str], number: int) -> dict[str, Any]:
        """Its settings. The first asking (0) takes the likeliest words; later ones are drawn, each by its number."""
        body: dict[str, Any] = {"stream": False}
        if self.temperature:
            body["temperature"] = 0 if number == 0 else 0.7
        if self.seed:
            body["seed"] = number
        if self.limit:
            body[self.limit] = self.tokens
        if self.top:
            if number == 0:
                body |= {"logprobs": True, "top_logprobs": self.top}
        elif self.schema and options:
            body["response_format"] = answer_format(options)
        return body

    def without(self, complaint: str, param: str) -> Capabilities | None:
        """What is left when a server complains of a setting; None when the complaint names none that was sent."""
        for names, less in self._fewer():
            if param and any(param.startswith(n) for n in names):
                return less
        for names, less in self._fewer():
            if any(re.search(rf"\b{n}\b", complaint, re.IGNORECASE) for n in names):
                return less
        return None

    def _fewer(self) -> list[tuple[tuple[str, ...], Capabilities]]:
        """(names a complaint may use, what is left) for every setting that can go."""
        found: list[tuple[tuple[str, ...], Capabilities]] = []
        if self.top:
            # Some servers give at most five.
            found.append((("top_logprobs",), replace(self, top=5 if self.top > 5 else 0)))
            found.append((("logprobs", "log probabilities"), replace(self, top=0)))
        elif self.schema:
            names = ("response_format", "json_schema", "schema", "structured outputs?", "grammar")
            found.append((names, replace(self, schema=False)))
        if self.temperature:
            found.append((("temperature",), replace(self, temperature=False)))
        if self.seed:
            found.append((("seed",), replace(self, seed=False)))
        if self.limit:
            limit = "max_completion_tokens" if self.limit == "max_tokens" else ""
            found.append(((self.limit,), replace(self, limit=limit)))
        return found


def remember(url: str, model: str, found: Capabilities) -> None:
    """Keep what was found out; a disk that takes nothing is only warned about."""
    known = _read()
    key = _key(url, model)
    if known.get(key) != asdict(found):
        try:
            write_json(_file(), {**known, key: asdict(found)})
        except StorageError as error:
            log.warning("What the judge's server can do is not remembered: %s", error)


def recall(url: str, model: str) -> Capabilities | None:
    """What was found out last, on this machine."""
    try:
        return Capabilities(**_read()[_key(url, model)])
    except (KeyError, TypeError):
        return None


def _file() -> Path:
    return user_cache() / "judge-servers.json"


def _key(url: str, model: str) -> str:
    return hashlib.sha256(f"{url} {model}".encode("utf-8", "replace")).hexdigest()[:24]


def _read() -> dict[str, Any]:
    try:
        found = read_json(_file())
    except StorageError:
        return {}
    return found if isinstance(found, dict) else {}
