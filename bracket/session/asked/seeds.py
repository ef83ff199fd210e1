"""Common random numbers: which seed is used where. Every config of a round sees the same ones.

Search, finals, confirmation and the pictures of each draw from disjoint ranges, so what chose the winner never also
proves it. Since edition 2 every seed lies between 2^28 and 6 * 2^28: few trainers take more than 32 bits, some take no
0, and some count on from theirs. In its range a use begins where a hash of the session's seed says, and goes on in
strides that come to no number twice. Sessions begun before keep edition 1, a thousand numbers for each session seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from bracket.domain import Problem, Prompt, Round

LARGEST = 2**31 - 1
"""What every trainer takes at most."""
_RANGE = 2**28
_STRIDE = 165_961_789
"""Odd, so that it visits a range of 2^28 whole, and about 0.618 of it, so that neighbours lie far apart."""
_USES = {Round.SEARCH: 1, Round.FINALS: 2, Round.CONFIRMATION: 3, "choosing": 4, "verdict": 5}
_FIRST = {Round.SEARCH: 0, Round.FINALS: 100, Round.CONFIRMATION: 500}


@dataclass(frozen=True)
class Seeds:
    """The seeds that follow from a session's, by the rule of an edition."""

    session: int
    edition: int = 2

    def training(self, round_: Round, n: int) -> list[int]:
        """The training seeds of a round."""
        if self.edition == 1:
            return [self.session * 1_000 + _FIRST[round_] + i for i in range(n)]
        return [self._drawn(round_, i) for i in range(n)]

    def choosing(self, texts: Sequence[str]) -> tuple[Prompt, ...]:
        """One picture per prompt, each with a sample seed of its own, the same for every trial of search and finals."""
        return tuple(Prompt(text, self._of_picture("choosing", i)) for i, text in enumerate(texts))

    def verdict(self, texts: Sequence[str], sample_seeds: int) -> tuple[Prompt, ...]:
        """`sample_seeds` pictures per verdict prompt, with sample seeds that no trial of search or finals drew."""
        return tuple(
            Prompt(text, self._of_picture("verdict", i * sample_seeds + j))
            for i, text in enumerate(texts)
            for j in range(sample_seeds)
        )

    def problems(self, pairs: int, pictures: int) -> list[Problem]:
        """What keeps trainers from taking the seeds of a duel, which are the largest: only those of edition 1 can be
        too large."""
        largest = max(self.training(Round.CONFIRMATION, pairs + 1)[-1], self._of_picture("verdict", pictures))
        if largest <= LARGEST:
            return []
        what = f"the seeds that follow from the session seed {self.session} are none that a trainer takes"
        return [Problem("error", what, "Begin a new session: newer ones derive their seeds otherwise.")]

    def _of_picture(self, use: str, i: int) -> int:
        if self.edition == 1:
            return self.session * 1_000 + i if use == "choosing" else 1_000_000_000 + self.session * 100_000 + i
        return self._drawn(use, i)

    def _drawn(self, use: str, i: int) -> int:
        digest = hashlib.sha256(f"{self.session} {use}".encode()).digest()
        begin = int.from_bytes(digest[:8], "big")
        return _USES[use] * _RANGE + (begin + i * _STRIDE) % _RANGE
