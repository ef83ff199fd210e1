"""How answers that mean an option begin, with a token a letter: all by hand."""

from __future__ import annotations

import pytest

from bracket.judges.local.options import spell


def _digits(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


def _undigits(tokens: tuple[int, ...]) -> str:
    return "".join(map(chr, tokens))


def test_spelling_of_letters_and_words() -> None:
    """A letter is a token here; a blank alone tells nothing, and "Neither" is told from "No" by its second letter."""
    assert spell(("A", "B"), _digits, _undigits).starts == {"A": ((65,), (97,)), "B": ((66,), (98,))}
    starts = spell(("No", "Neither"), _digits, _undigits).starts
    assert starts == {"No": ((78, 111),), "Neither": ((78, 101),)}
    assert spell(("a", "A"), _digits, _undigits).starts == {"a": ((97,),), "A": ((65,),)}
    assert spell(("yes",), _digits, _undigits).starts == {"yes": ((121,), (89,))}


def test_chances_of_options_within_options() -> None:
    """1, 10 and 100 of one tree: P(1) = .5, of which 0 follows in .6, of which 0 follows in .5."""
    spelling = spell(("1", "10", "100"), _digits, _undigits)
    one, nought = ord("1"), ord("0")
    assert spelling.prefixes == [(), (one,), (one, nought)]
    assert [spelling.tokens_after(p) for p in spelling.prefixes] == [[one], [nought], [nought]]
    chances, coverage = spelling.chances({(): {one: 0.5}, (one,): {nought: 0.6}, (one, nought): {nought: 0.5}})
    assert coverage == pytest.approx(0.5)
    assert chances == pytest.approx({"1": 0.4, "10": 0.3, "100": 0.3})
    assert spelling.chances({(): {one: 0.0}, (one,): {nought: 0.0}, (one, nought): {nought: 0.0}}) == (None, 0.0)
