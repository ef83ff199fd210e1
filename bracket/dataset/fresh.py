"""Which prompts a session chooses by and which it proves with, and where each comes from.

What proves the winner must not have helped to choose it: a verdict prompt is never a search prompt nor the caption of a
picture that is trained or validated on, and no theme lies on both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bracket.dataset.bank import JOINT, KINDS, Kind, Subject, from_bank, guessed_kind, plain_from_bank
from bracket.dataset.reading.prompts import (
    PROMPTS,
    TRIGGER,
    VERDICT_PROMPTS,
    has_word,
    one_line,
    parse_prompts,
    read_prompts,
)
from bracket.domain import Picture

KindChoice = Literal["auto", "none", Kind]
KIND_CHOICES: tuple[str, ...] = ("auto", "none", *KINDS)
Use = Literal["search", "verdict", "both"]
FEWEST_PROMPTS = 4
"""Where nothing else gives so many search prompts, captions of training pictures fill up to this many."""
ENOUGH_KEPT = 6
"""So many prompts without the trigger word are drawn in the duel: fewer give no interval of what is kept."""
_MOST_RECOMBINED = 500
"""Captions whose parts are recombined."""
Candidate = tuple[str, str, str]
"""Text, theme and origin of a prompt; the theme "" is one of its own."""


@dataclass(frozen=True)
class PromptChoice:
    """What a person chose of a session's prompts.

    Attributes:
        kind: of the bank's prompts; "auto" for the kind that the dataset seems to be of, "none" for no prompts of it.
        own: prompts of the person's own, as lines of a prompt file.
        use: what `own` is for; "both": the first half of them chooses, the second half proves.
        plain: how many of the bank's prompts at most are without the trigger word, in the search and in the verdict.
            With 0 none are drawn beside the verdict's either.
    """

    kind: KindChoice = "auto"
    own: tuple[str, ...] = ()
    use: Use = "both"
    plain: int = 2


@dataclass(frozen=True)
class Own:
    """A person's own prompts with their flags, from files in the folder and from the settings."""

    search: Mapping[str, Mapping[str, str]]
    verdict: Mapping[str, Mapping[str, str]]


@dataclass
class Picked:
    """Prompts that are picked one after the other, each text once."""

    texts: list[str] = field(default_factory=list)
    themes: dict[str, str] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    def theme(self, text: str) -> str:
        """What a prompt stems from."""
        return self.themes.get(text, text)

    def fill(
        self, found: Iterable[Candidate], most: int, known: Iterable[str] = (), themes: Iterable[str] = ()
    ) -> None:
        """Take prompts until there are `most`, but for those whose text is known and those of these themes."""
        seen, closed = {*map(key, known), *map(key, self.texts)}, set(themes)
        for text, theme, origin in found:
            if len(self.texts) >= most:
                return
            if key(text) in seen or theme in closed or not text:
                continue
            seen.add(key(text))
            self.texts.append(text)
            self.origins[text] = origin
            if theme:
                self.themes[text] = theme


def own_prompts(folder: Path, choice: PromptChoice, trigger_word: str) -> Own:
    """Raises DatasetError: a prompt file or a line can't be read or understood."""
    typed = parse_prompts("\n".join(choice.own))
    half = {"search": len(typed), "verdict": 0, "both": (len(typed) + 1) // 2}[choice.use]
    parts = ((PROMPTS, typed[:half]), (VERDICT_PROMPTS, typed[half:]))
    found: list[dict[str, Mapping[str, str]]] = []
    for name, more in parts:
        lines: dict[str, Mapping[str, str]] = {}
        for line in (*(read_prompts(folder / name) if (folder / name).exists() else ()), *more):
            lines.setdefault(line.text.replace(TRIGGER, trigger_word), line.flags)
        found.append(lines)
    return Own(*found)


def search_prompts(
    own: Own, validating: Sequence[Picture], trained: Sequence[Picture], bank: Iterable[Candidate], most: int
) -> Picked:
    """A person's own prompts alone; else the captions of the validation pictures, and then the bank's."""
    made = Picked()
    made.fill(_own(own.search), most)
    if made.texts:
        return made
    made.fill(_captioned(validating), most)
    made.fill(bank, most, captions(trained))
    made.fill(_captioned(trained), min(most, FEWEST_PROMPTS))
    return made


def verdict_prompts(
    own: Own,
    held: Sequence[Picture],
    bank: Iterable[Candidate],
    recombined: Iterable[Candidate],
    most: int,
    known: Iterable[str],
    search: Picked,
) -> Picked:
    """A person's own prompts, captions of pictures kept for it, the bank's, and captions' parts put together anew.

    Args:
        known: texts that are no fresh prompt: captions of training and validation pictures.
    """
    made, known = Picked(), {*known, *search.texts}
    themes = {search.theme(text) for text in search.texts}
    for source in (_own(own.verdict), _captioned(held), bank, recombined):
        made.fill(source, most, known, themes)
    first = {theme: place for place, theme in reversed(list(enumerate(map(made.theme, made.texts))))}
    made.texts.sort(key=lambda text: first[made.theme(text)])  # looked at theme after theme
    return made


def keep_prompts(verdict: Picked, bank: Iterable[Candidate], known: Iterable[str], trigger_word: str) -> Picked:
    """Those of the verdict's without the trigger word; where they are too few, the bank's beside them.

    Args:
        known: texts that are no fresh prompt, the search's among them.
    """
    made = Picked()
    if trigger_word:
        made.fill(((t, "", "") for t in verdict.texts if not has_word(t, trigger_word)), len(verdict.texts))
        made.fill(bank, max(ENOUGH_KEPT, len(made.texts)), known)
    return made


def bank_of(
    choice: PromptChoice, subject: Subject, seed: int, *, clips: bool
) -> tuple[str, list[Candidate], list[Candidate], list[Candidate]]:
    """The kind of the bank's prompts, those that choose, those that prove, and of the latter's half those without the
    trigger word, each in the order they are taken in."""
    if choice.kind == "none":
        return "", [], [], []
    kind: Kind = (
        guessed_kind(subject.class_word, subject.captions, clips=clips) if choice.kind == "auto" else choice.kind
    )
    choosing, verdict = (
        [(text, theme, "bank") for theme, text in from_bank(kind, half, subject, seed, choice.plain)]
        for half in ("choosing", "verdict")
    )
    plain = plain_from_bank(kind, "verdict", subject, seed) if choice.plain else ()
    return kind, choosing, verdict, [(text, theme, "bank") for theme, text in plain]


def recombined(captions: Iterable[str], trigger_word: str) -> Iterator[Candidate]:
    """The beginning of one caption with the end of another. Its theme is the caption it begins as.

    Where there is a trigger word, each names it once.
    """
    parts = [(c, *found) for c in distinct(captions)[:_MOST_RECOMBINED] if (found := _parts(c))]
    for away in range(1, len(parts)):
        for place, (caption, head, joint, _) in enumerate(parts):
            _, _, other, tail = parts[(place + away) % len(parts)]
            if joint == other and (not trigger_word or has_word(head, trigger_word) != has_word(tail, trigger_word)):
                yield f"{head}{joint}{tail}", caption, "recombined"


def _parts(caption: str) -> tuple[str, str, str] | None:
    """Beginning, what joins, and end of a caption: of a list of tags its halves, of a sentence what is before and from
    its first preposition on."""
    tags = [tag.strip() for tag in caption.split(",") if tag.strip()]
    if len(tags) > 2 and "." not in caption.strip().rstrip("."):
        half = (len(tags) + 1) // 2
        return ", ".join(tags[:half]), ", ", ", ".join(tags[half:])
    head, *rest = JOINT.split(one_line(caption), maxsplit=1)
    return (head, " ", rest[0]) if rest and head else None


def captions(pictures: Iterable[Picture]) -> tuple[str, ...]:
    return distinct(one_line(p.caption) for p in pictures if p.caption)


def distinct(texts: Iterable[str]) -> tuple[str, ...]:
    """The first of those that ask for the same picture."""
    return tuple({key(t): t for t in reversed(list(texts))}.values())[::-1]


def key(text: str) -> str:
    """Texts with the same key ask for the same picture."""
    return " ".join(text.casefold().split()).rstrip(".")


def _own(lines: Iterable[str]) -> Iterator[Candidate]:
    return ((text, "", "own") for text in lines)


def _captioned(pictures: Iterable[Picture]) -> Iterator[Candidate]:
    return ((text, text, "caption") for text in captions(pictures))
