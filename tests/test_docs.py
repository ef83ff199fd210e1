"""The docs: every link leads somewhere, every file and module they name is there, and what is drawn or told twice is
the same in both places."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from bracket.report.glossary import COINED, FIELD
from tests.imports import ROOT, doors, modules
from tests.map import PICTURE, SHOWN, WALK, svg

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "presets" / "embedded" / "README.md"])


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """What GitHub calls a page's headings."""
    heads = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            wrong.append(target)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_named_files_and_modules_are_there(page: Path) -> None:
    """Files as from the top or from `bracket/`, modules by their dotted names."""
    spans = re.findall(r"`([^`\n]+)`", text_of(page))
    files = {s for s in spans if re.fullmatch(r"[\w.-]+(/[\w.-]+)+\.(py|js|css|md|svg)", s)}
    folders = {s for s in spans if re.fullmatch(r"(bracket|tests|presets|docs)(/[\w.-]+)*/", s)}
    wrong = [
        f for f in files | folders if not ((ROOT / f).exists() or (ROOT / "bracket" / f).exists() or report_file(f))
    ]
    for dotted in re.findall(r"(?<![\w./])((?:bracket|tests)(?:\.[a-z_]\w*)+)", " ".join(spans)):
        path = ROOT.joinpath(*dotted.split("."))
        if dotted not in modules() and not path.with_suffix(".py").exists() and not path.is_dir():
            wrong.append(dotted)
    assert wrong == []


def report_file(name: str) -> bool:
    """A file of a session's, which is nobody's source."""
    return name.startswith(("report/", "winner/")) and not name.endswith(".py")


def test_every_room_is_on_the_map() -> None:
    drawn = {room for rooms in SHOWN.values() for room in rooms}
    assert {p.parent.name for p in (ROOT / "bracket").glob("*/__init__.py")} <= drawn


def test_the_map_is_of_today() -> None:
    assert PICTURE.read_text(encoding="utf-8") == svg(), "run python -m tests.map, and look at the picture"


def test_the_page_walks_the_maps_way() -> None:
    page = text_of(ROOT / "docs" / "architecture.md")
    steps = re.findall(r"^\d+\. (.+?)(?=^\d+\. |^#)", page, re.MULTILINE | re.DOTALL)
    assert [
        step for step, module in zip(steps, WALK, strict=True) if f"`{module.replace('.', '/')}.py`" not in step
    ] == []


def test_every_wing_has_its_exemplar() -> None:
    page = text_of(ROOT / "CONTRIBUTING.md")
    named = {Path(target).parent for target in re.findall(r"\]\((bracket/[^)]+\.py)\)", page)}
    folders = {Path(*package.split(".")) for package in doors()}
    no_code = {Path("bracket/dataset/bank")}
    assert folders - named - no_code == set()


def test_the_glossary_is_the_apps() -> None:
    rows = [f"| **{t.word}** | {t.sentence} | {t.elsewhere or '–'} |" for t in (*COINED, *FIELD)]
    page = text_of(ROOT / "docs" / "glossary.md")
    assert [line for line in page.splitlines() if line.startswith("| **")] == rows


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "trainers.md"], ids=name_of)
def test_lines_are_for_reading(page: Path) -> None:
    """Tables, commands and pictures can't be wrapped; all else is."""
    code, long = False, []
    for number, line in enumerate(text_of(page).splitlines(), 1):
        code ^= line.startswith("```")
        if len(line) > 125 and not code and not line.startswith(("|", "    ", "![")):
            long.append(number)
    assert long == []
