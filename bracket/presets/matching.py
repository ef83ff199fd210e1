"""Words as people type them: found in any order, whatever the case, hyphens, dots and blanks between."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

METHOD_WORDS = {"full": "full fine-tune finetune finetuning dreambooth", "lokr": "LoKr LyCORIS"}
TRAINER_WORDS = {
    "builtin": ("built-in", "bracket"),
    "sd_scripts": ("kohya", "kohya_ss", "sd-scripts"),
    "musubi": ("kohya", "musubi-tuner"),
    "ai_toolkit": ("ostris", "ai-toolkit"),
}
"""What people call the trainers."""
_FILLERS = {"a", "an", "and", "for", "gpu", "in", "memory", "model", "of", "on", "the", "under", "vram", "with"}
_MEMORY = re.compile(r"(\d+)\s*(?:gb|gib|g)\b")
_GB = re.compile(r"([0-9]+)gb")
_LONGEST = 40
"""A longer word is put together from no others."""


@dataclass(frozen=True)
class Findable:
    """Something to search for: what it is called, what else is known of it, and the least GPU memory (0: unknown)."""

    name: str
    called: tuple[str, ...]
    known: tuple[str, ...]
    gb: int = 0

    @cached_property
    def names(self) -> frozenset[str]:
        return starts(self.called)

    @cached_property
    def words(self) -> frozenset[str]:
        return starts((self.name, *self.known))

    def named(self, word: str) -> int:
        """2 where its first name has the word, 1 where another one has it."""
        return sum(any(t.startswith(word) for t in texts) for texts in (starts(self.called[:1]), self.names))

    def has(self, word: str) -> bool:
        """Whether it is found by this word, or by what it is put together from (fluxdev); "24gb" finds what fits into
        as much."""
        asked = _GB.fullmatch(word)
        fits = asked is not None and 0 < self.gb <= int(asked[1][:9])
        if fits or any(text.startswith(word) for text in self.names | self.words):
            return True
        heads = (t for t in self.names | self.words if 1 < len(t) < len(word) <= _LONGEST and word.startswith(t))
        return any(self.has(word[len(head) :]) for head in heads)


def search(query: str, among: Iterable[Findable]) -> list[str]:
    """Names of those that have every typed word, the ones called by them first; no words are all of them."""
    words = typed(query)
    found = [(-sum(map(f.named, words)), f.name) for f in among if all(map(f.has, words))]
    return [name for _, name in sorted(found, key=lambda f: f[0])]


def meant(query: str, among: Sequence[Findable]) -> str:
    """The query with its slips put right and without what nothing is called; "" where that changes or finds nothing."""
    known = frozenset().union(*(f.names | f.words for f in among))
    mended = [w if any(f.has(w) for f in among) else _nearest(w, known) for w in typed(query)]
    guess = " ".join(filter(None, mended))
    return guess if guess and mended != typed(query) and search(guess, among) else ""


def typed(query: str) -> list[str]:
    """The words of a query that say something; "24 GB" is one, and "sd-scripts" too."""
    words = ["".join(re.findall(r"[^\W_]+", w)) for w in _MEMORY.sub(r"\1gb ", _plain(query)).split()]
    return [w for w in words if w and w not in _FILLERS] or [w for w in words if w]


def starts(texts: Iterable[str]) -> frozenset[str]:
    """The words of each text, alone and with all that follow: "Z-Image 2" gives zimage2, image2, z, image and 2."""
    parts = [re.findall(r"[^\W\d_]+|\d+", _plain(text)) for text in texts]
    return frozenset(made for words in parts for i, word in enumerate(words) for made in (word, "".join(words[i:])))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _nearest(word: str, known: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(word, sorted(known), 1, 0.7)), "")
