"""A report's content as plain blocks. What it says is decided once; Markdown and HTML only lay it out.

All text is plain and untrusted (captions, prompts, log lines, paths): whoever lays it out must escape it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

Tone = Literal["", "winner", "baseline", "failed", "muted"]


@dataclass(frozen=True)
class Paragraph:
    """Plain text. `note` is smaller print, `warning` must not be missed."""

    text: str
    tone: Literal["plain", "note", "warning"] = "plain"


@dataclass(frozen=True)
class Subheading:
    """A heading inside a section."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """Short sentences, one a line."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Code:
    """Text to copy as it is: a command, lines of a log."""

    text: str


@dataclass(frozen=True)
class Row:
    """One line of a table, one text per column."""

    cells: tuple[str, ...]
    tone: Tone = ""


@dataclass(frozen=True)
class Table:
    """`numeric` are the columns whose figures line up on the right."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    numeric: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Terms:
    """Names and what they are."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Figure:
    """A plot in `figures/NAME.png`, drawn for light paper, and `figures/NAME-dark.png`. `alt` says what it shows."""

    name: str
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class PictureRow:
    """One config's pictures, one per column; None where it drew none. `scores` stand beneath them."""

    label: str
    detail: str
    pictures: tuple[Path | None, ...]
    scores: tuple[float | None, ...] = ()
    tone: Tone = ""


@dataclass(frozen=True)
class Pictures:
    """A grid config × prompt. In Markdown it is one image, `figures/NAME.png`."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[PictureRow, ...]
    alt: str


Plain = Paragraph | Subheading | Bullets | Code | Table | Terms | Figure | Pictures


@dataclass(frozen=True)
class Fold:
    """Blocks that stay closed until somebody asks (and are open on paper)."""

    title: str
    blocks: tuple[Plain, ...]


Block = Plain | Fold


@dataclass(frozen=True)
class Section:
    """A heading and what stands beneath it. `id` is its anchor."""

    id: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Fact:
    """One figure of the verdict that a glance should catch, such as "81 %" of "fresh prompts won"."""

    value: str
    name: str
    detail: str = ""


@dataclass(frozen=True)
class Document:
    """A whole report: the verdict first, then the sections in reading order.

    Attributes:
        name: the session's.
        subtitle: what was compared, in one line.
        headline: the verdict in one sentence.
        found: whether the headline claims something (colours it).
        meaning: what that means, in plain sentences.
        facts: the figures behind it.
    """

    name: str
    subtitle: str
    headline: str
    found: bool
    meaning: tuple[Paragraph, ...]
    facts: tuple[Fact, ...]
    sections: tuple[Section, ...]

    def figures(self) -> list[Figure]:
        return [block for block in self.blocks() if isinstance(block, Figure)]

    def blocks(self) -> list[Plain]:
        """Every block, those in folds included."""
        found: list[Plain] = []
        for section in self.sections:
            for block in section.blocks:
                found += block.blocks if isinstance(block, Fold) else (block,)
        return found


def with_pictures(document: Document, shown: Callable[[Path], Path]) -> Document:
    """The document with other files in its grids of pictures."""

    def row(one: PictureRow) -> PictureRow:
        return replace(one, pictures=tuple(path and shown(path) for path in one.pictures))

    def block(one: Block) -> Any:
        if isinstance(one, Fold):
            return replace(one, blocks=tuple(map(block, one.blocks)))
        return replace(one, rows=tuple(map(row, one.rows))) if isinstance(one, Pictures) else one

    sections = (replace(section, blocks=tuple(map(block, section.blocks))) for section in document.sections)
    return replace(document, sections=tuple(sections))
