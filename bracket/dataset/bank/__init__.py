"""Prompts by kind of dataset, for sessions whose captions and own prompts don't suffice.

Every kind is a YAML file in this folder: themes of prompts that stem from one idea, parted once and for all into those
that choose and those that prove, and a few of each that don't name what is learnt (`plain`). `{subject}` stands for
it as one writes it in a caption, `{name}` for the same without an article, `{class}` for what it is one of. The prompts
of a style or a concept name neither: its words are added to them.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Literal, get_args

from bracket.dataset.reading.prompts import has_word, one_line
from bracket.errors import DatasetError
from bracket.reading import Unreadable, from_yaml, read_text, why

Kind = Literal["person", "animal", "object", "style", "concept", "place", "clothing", "clip", "shapes"]
KINDS: tuple[Kind, ...] = get_args(Kind)
KIND_WORDS: Mapping[str, str] = {
    "person": "a person",
    "animal": "an animal",
    "object": "an object",
    "style": "a style",
    "concept": "a concept",
    "place": "a place",
    "clothing": "clothing",
    "clip": "clips",
    "shapes": "drawn shapes",
}
Half = Literal["choosing", "verdict"]

FOLDER = Path(__file__).parent
_ADDED = ("style", "concept")
"""Kinds whose words are added to a prompt, which names neither."""
_EVERY = 6
"""Every sixth prompt may be a plain one."""
_SHAPE = re.compile(r"an? (small|big) \w+ \w+ on an? \w+ background", re.IGNORECASE)
"""A caption of the demo's drawn shapes."""
JOINT = re.compile(
    r"\s(?=(?:in|on|at|by|under|over|beside|behind|near|against|with|wearing|holding|inside|between|through)\s)",
    re.IGNORECASE,
)
"""Where in a caption what is around the subject begins."""
_PRONOUN = re.compile(r"\b(he|she|his|her|him)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Bank:
    """One kind's prompts: theme -> prompts, of either half.

    Attributes:
        noun: what a subject of the kind is called that has no class word.
        words: class words of the kind.
        plain: themes whose prompts don't name the subject.
    """

    noun: str
    words: frozenset[str]
    named: Mapping[Half, Mapping[str, tuple[str, ...]]]
    plain: Mapping[Half, Mapping[str, tuple[str, ...]]]


@dataclass(frozen=True)
class Subject:
    """What a dataset teaches, in the words that a prompt needs: its trigger and class word, and its captions, which
    show how these are written."""

    trigger: str = ""
    class_word: str = ""
    captions: tuple[str, ...] = ()

    @cached_property
    def name(self) -> str:
        """The trigger word, with the class word after it unless the captions don't write it so; the class word alone
        where there is no trigger."""
        trigger, word = one_line(self.trigger), one_line(self.class_word)
        if not trigger or not word or has_word(trigger, word):
            return trigger or word
        both = f"{trigger} {word}"
        alone = any(has_word(c, trigger) for c in self.captions) and not any(has_word(c, both) for c in self.captions)
        return trigger if alone else both

    @cached_property
    def article(self) -> str:
        """What most captions that name it put before it; "" for nothing."""
        naming = [c for c in self.captions if has_word(c, self.name)]
        before = re.compile(rf"\b(an?|the)\s+{re.escape(self.name)}", re.IGNORECASE)
        found = Counter(m[1].lower() for c in naming if (m := before.search(c)))
        most, count = found.most_common(1)[0] if found else ("", 0)
        return most if count * 2 > len(naming) else ""

    @cached_property
    def leads(self) -> bool:
        """Whether most captions that name it begin with it."""
        naming = [c for c in self.captions if has_word(c, self.name)]
        return sum(c.casefold().startswith(self.name.casefold()) for c in naming) * 2 > len(naming)


@cache
def bank(kind: Kind) -> Bank:
    """Raises DatasetError: the file is missing or damaged."""
    path = FOLDER / f"{kind}.yaml"
    try:
        said = from_yaml(read_text(path))
        halves: tuple[Half, ...] = get_args(Half)
        return Bank(
            noun=str(said["noun"]),
            words=frozenset(map(str, said["words"])),
            named={h: _themes(said[h]) for h in halves},
            plain={h: _themes(said["plain"][h]) for h in halves},
        )
    except (OSError, Unreadable, KeyError, TypeError, AttributeError) as error:
        reason = why(error) if isinstance(error, OSError | Unreadable) else f"{error} is missing or misplaced"
        raise DatasetError(f"The bank of prompts is damaged: {reason}", path=path, remedy="Get it anew.") from error


def _themes(said: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    return {str(theme): tuple(map(str, prompts)) for theme, prompts in said.items()}


def guessed_kind(class_word: str, captions: Sequence[str], *, clips: bool = False) -> Kind:
    """The kind that a dataset seems to be of: by its class word, else by what its captions name first.

    Args:
        clips: it holds clips.
    """
    if clips:
        return "clip"
    if captions and sum(_SHAPE.fullmatch(c.strip()) is not None for c in captions) * 2 > len(captions):
        return "shapes"
    if found := _kind_of(reversed(re.findall(r"[\w-]+", class_word.casefold()))):
        return found
    heads = (re.findall(r"[\w-]+", JOINT.split(c, maxsplit=1)[0].casefold()) for c in captions)
    named = [kind for words in heads if (kind := _kind_of(words))]
    if named:
        kind, count = Counter(named).most_common(1)[0]
        return kind if count * 2 > len(named) or len(named) < _EVERY else "style"
    return "person" if any(_PRONOUN.search(c) for c in captions) else "object"


def _kind_of(words: Iterator[str] | Sequence[str]) -> Kind | None:
    """The kind of the first of these words that is one's class word."""
    return next((kind for word in words for kind in KINDS if word in bank(kind).words), None)


def from_bank(kind: Kind, half: Half, subject: Subject, seed: int, plain: int = 0) -> Iterator[tuple[str, str]]:
    """(theme, prompt) of one half of a kind's bank: one prompt of each theme, then the next of each.

    Themes come in an order drawn by lot from the seed. Where there is a trigger word, every sixth prompt is one without
    it, `plain` of them at most.
    """
    found = bank(kind)
    named = _in_turns(found.named[half], f"{seed}\0{kind}\0{half}\0{0}")
    spare = iter([*plain_from_bank(kind, half, subject, seed)][:plain])
    for place, (theme, text) in enumerate(named, 1):
        yield f"{kind}: {theme}", _filled(text, kind, subject, found.noun)
        if place % (_EVERY - 1) == 0 and (more := next(spare, None)):
            yield more


def plain_from_bank(kind: Kind, half: Half, subject: Subject, seed: int) -> Iterator[tuple[str, str]]:
    """(theme, prompt) of those of one half that don't name the subject, in the order in which `from_bank` takes them;
    none where there is no trigger word."""
    found = bank(kind)
    for theme, text in _in_turns(found.plain[half], f"{seed}\0{kind}\0{half}\0{1}") if subject.trigger else ():
        yield f"{kind}: {theme}", _filled(text, kind, subject, found.noun, plain=True)


def _in_turns(themes: Mapping[str, Sequence[str]], seed: str) -> Iterator[tuple[str, str]]:
    def lot(text: str) -> bytes:
        return hashlib.sha256(f"{seed}\0{text}".encode()).digest()

    drawn = [(theme, sorted(themes[theme], key=lot)) for theme in sorted(themes, key=lot)]
    for turn in range(max((len(prompts) for _, prompts in drawn), default=0)):
        yield from ((theme, prompts[turn]) for theme, prompts in drawn if turn < len(prompts))


def _filled(text: str, kind: Kind, subject: Subject, noun: str, *, plain: bool = False) -> str:
    if plain:
        return text.replace("{class}", _with_article(one_line(subject.class_word) or noun))
    if kind in _ADDED:
        return ", ".join(filter(None, (subject.name, text) if subject.leads else (text, subject.name)))
    name = subject.name or noun
    called = f"{subject.article} {name}".strip() if subject.trigger else _with_article(name)
    return text.replace("{name}", name).replace("{subject}", called)


def _with_article(noun: str) -> str:
    """An indefinite one, unless the noun has one or is a plural."""
    if re.match(r"(an?|the|some)\s", noun, re.IGNORECASE) or re.search(r"[^s]s$", noun):
        return noun
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
