"""The glossary: one sentence a word, found in labels by its forms."""

from __future__ import annotations

import re

import pytest

from bracket.report.glossary import COINED, FIELD, Term

TERMS = (*COINED, *FIELD)


@pytest.mark.parametrize("term", TERMS, ids=lambda t: t.word)
def test_one_short_sentence_a_word(term: Term) -> None:
    assert re.fullmatch(r"[A-Z][^.]*\.", term.sentence) and len(term.sentence) <= 120
    assert re.search(rf"\b({term.pattern})\b", f"Some {term.word} here")


def test_words_stand_once_and_in_order() -> None:
    for some in (COINED, FIELD):
        words = [term.word for term in some]
        assert words == sorted(set(words))


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("Rungs", ["rung"]),
        ("Paired runs", ["pair"]),
        ("Held-out loss", ["held out"]),
        ("Steps in the finals", ["finalist", "step"]),
        ("Keep of the base in % (0: any)", ["base", "keep"]),
        ("lr 3e-4, rank 8", ["learning rate", "rank"]),
        ("Ranking by country", []),
    ],
)
def test_a_label_finds_its_words(label: str, words: list[str]) -> None:
    found = [t.word for t in TERMS if re.search(rf"\b({t.pattern})\b", label, re.IGNORECASE)]
    assert found == words
