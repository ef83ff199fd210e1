"""The report as Markdown, for people and for places that show no HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bracket.report.writing.document import (
    Block,
    Bullets,
    Code,
    Document,
    Figure,
    Fold,
    Paragraph,
    Pictures,
    Subheading,
    Table,
    Terms,
)

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$])")
_LINE_START = re.compile(r"^(\s*)([-+=]|\d+[.)])(?=\s|$)")


def render(document: Document) -> str:
    """The whole report. Figures and picture grids are linked as `figures/NAME.png`."""
    parts = [f"# {escape(document.name)}", escape(document.subtitle), f"**{escape(document.headline)}**"]
    parts += [_block(paragraph) for paragraph in document.meaning]
    if document.facts:
        parts.append("\n".join(f"- {escape(' '.join((f.value, f.name)))} ({escape(f.detail)})" for f in document.facts))
    for section in document.sections:
        parts.append(f"## {escape(section.title)}")
        parts += [_block(block) for block in section.blocks]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Text as Markdown that shows exactly that text on one line: no markup, no HTML, no table borders."""
    flat = " ".join(text.split())
    return _LINE_START.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", flat).replace("&", "&amp;"))


def _block(block: Block) -> str:
    match block:
        case Paragraph(text, tone):
            return f"> {escape(text)}" if tone == "warning" else escape(text)
        case Subheading(text):
            return f"### {escape(text)}"
        case Bullets(items):
            return "\n".join(f"- {escape(item)}" for item in items)
        case Code(text):
            return _fenced(text)
        case Terms(items):
            return "\n".join(f"- {escape(name)}: {escape(value)}" for name, value in items)
        case Table():
            return _table(block)
        case Figure(name, alt, caption):
            return f"![{escape(alt)}](figures/{name}.png)\n\n{escape(caption)}".strip()
        case Pictures():
            return f"![{escape(block.alt)}](figures/{block.name}.png)"
        case Fold(title, blocks):
            return "\n\n".join([f"### {escape(title)}", *map(_block, blocks)])


def _table(table: Table) -> str:
    rule = ["---:" if i in table.numeric else "---" for i in range(len(table.columns))]
    return "\n".join([_line(table.columns), _line(rule, raw=True), *(_line(row.cells) for row in table.rows)])


def _line(cells: Iterable[str], *, raw: bool = False) -> str:
    return "| " + " | ".join(cell if raw else escape(cell) for cell in cells) + " |"


def _fenced(text: str) -> str:
    """A fence longer than any run of backticks inside, so that the text can't end it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
