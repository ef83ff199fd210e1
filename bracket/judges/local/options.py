"""Options as tokens: how an answer that means an option begins, and how likely each is.

A model's next token tells the whole answer when no two options begin alike ("A", "B", "T"). Where they do ("1" and
"10", where every digit is a token of its own), the probabilities after the shared beginning are needed too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Spelling:
    """The beginnings of answers that mean each option, in tokens. None means two options."""

    starts: Mapping[str, tuple[Tokens, ...]]

    @property
    def prefixes(self) -> list[Tokens]:
        """What must stand before the next token's probabilities are read; () comes first."""
        found = {start[:n] for starts in self.starts.values() for start in starts for n in range(len(start))}
        return sorted(found, key=lambda p: (len(p), p))

    def tokens_after(self, prefix: Tokens) -> list[int]:
        """The tokens whose probabilities after `prefix` are needed."""
        n = len(prefix)
        return sorted({s[n] for starts in self.starts.values() for s in starts if len(s) > n and s[:n] == prefix})

    def chances(self, after: Mapping[Tokens, Mapping[int, float]]) -> tuple[dict[str, float] | None, float]:
        """(probability of each option, adding up to 1; what they had together before).

        Args:
            after: for each of `prefixes`, the probabilities of `tokens_after` it.

        An option that another one goes on from ("1" from "10") has what the other leaves it. None when nothing is left
        to divide.
        """
        whole = [start for starts in self.starts.values() for start in starts]
        raw = {
            option: sum(
                _product(start, after) - sum(_product(longer, after) for longer in _nearest(start, whole))
                for start in starts
            )
            for option, starts in self.starts.items()
        }
        raw = {option: max(0.0, value) for option, value in raw.items()}
        coverage = sum(raw.values())
        if coverage <= 0:
            return None, 0.0
        return {option: value / coverage for option, value in raw.items()}, min(1.0, coverage)


def spell(options: Sequence[str], encode: Callable[[str], Tokens], decode: Callable[[Tokens], str]) -> Spelling:
    """How answers begin that mean these options: as written, after a blank, and in other case.

    Args:
        encode: tokens of a text without any special ones; decode: the reverse.
    """
    plain = {option: encode(option) for option in options}
    others = {option: [*map(encode, _variants(option, options))] for option in options}
    # A variant is worth no forward pass of its own: it counts where one token tells it from all other options.
    kept: dict[str, list[Tokens]] = {}
    for option in options:
        rivals = [s for o in options if o != option for s in (plain[o], *others[o])]
        short = [_shortest(s, rivals) for s in others[option] if s]
        kept[option] = [s for s in short if len(s) == 1 and decode(s).strip()]
    starts = {}
    for option in options:
        rivals = [s for o in options if o != option for s in (plain[o], *kept[o])]
        first = _shortest(plain[option], rivals)
        more = (s for s in kept[option] if s != first[:1])
        starts[option] = tuple(dict.fromkeys([first, *more]))
    return Spelling(starts)


def _variants(option: str, options: Sequence[str]) -> list[str]:
    words = [option]
    if option.isalpha() and sum(o.casefold() == option.casefold() for o in options) == 1:
        words += [w for w in (option.lower(), option.upper(), option.capitalize()) if w not in words]
    return [*words[1:], *(f" {w}" for w in words)]


def _shortest(tokens: Tokens, rivals: Sequence[Tokens]) -> Tokens:
    """The shortest beginning that no rival shares; the whole where there is none."""
    shared = max((_common(tokens, rival) for rival in rivals), default=0)
    return tokens[: shared + 1]


def _common(a: Tokens, b: Tokens) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


def _nearest(start: Tokens, whole: Sequence[Tokens]) -> Iterator[Tokens]:
    """Those that go on from `start`, without those that go on from another of them."""
    longer = [s for s in whole if len(s) > len(start) and s[: len(start)] == start]
    for s in longer:
        if not any(len(t) < len(s) and s[: len(t)] == t for t in longer):
            yield s


def _product(start: Tokens, after: Mapping[Tokens, Mapping[int, float]]) -> float:
    product = 1.0
    for n, token in enumerate(start):
        product *= after[start[:n]][token]
    return product
