from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bracket.report.sections import contents
from bracket.report.summary import Summary
from bracket.report.writing import html
from bracket.report.writing.document import Document, PictureRow, Pictures, Section

HOSTILE = '<script>alert(1)</script> "quoted" & <img src=http://evil.example/x onerror=a>'
LOADING = {"src", "srcset", "href", "data", "poster", "action", "background"}
NEVER_CLOSED = {"meta", "img", "source"}


class Reader(HTMLParser):
    """Collects what a browser would load or run, and checks that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in LOADING]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag not in NEVER_CLOSED:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


@pytest.fixture(scope="module")
def page(finished: Summary) -> str:
    return (finished.folder / "report" / "report.html").read_text(encoding="utf-8")


def test_needs_nothing_but_itself(page: str) -> None:
    reader = read(page)
    assert reader.open == []
    assert all(value.startswith(("data:image/", "#")) for value in reader.loads)
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(reader.tags)
    assert "@import" not in page
    assert "url(" not in page


def test_every_plot_comes_in_light_and_dark(page: str) -> None:
    assert page.count('media="(prefers-color-scheme: dark)" srcset=') == page.count("<figure>") == 9


def test_anchors_lead_somewhere(page: str) -> None:
    anchors = re.findall(r'href="#([\w-]+)"', page)
    assert len(anchors) == 10
    assert all(f'id="{anchor}"' in page for anchor in anchors)


def test_the_demos_report_is_small(page: str) -> None:
    assert len(page) < 5_000_000


def test_untrusted_text_stays_text(world: Any) -> None:
    world.prompts = (f"a big red {HOSTILE} on a blue background", *world.prompts[1:])
    summary = world.summary(pairs=0, sample_seeds=(500,))
    winner = replace(summary.winner, label=HOSTILE)
    summary = replace(summary, name=HOSTILE, winner=winner, warnings=(HOSTILE,), judge=HOSTILE, command=(HOSTILE,))
    reader = read(html.render(contents.compose(summary, ()), world.folder))
    assert "script" not in reader.tags
    assert reader.handlers == []
    assert all(value.startswith(("data:image/", "#")) for value in reader.loads)
    assert reader.text.count(HOSTILE) >= 6


def test_many_large_pictures_shrink_until_they_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "BUDGET", 300_000)
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (400, 400, 3), np.uint8)).save(path, compress_level=0)
    grid = Pictures("grid", tuple("abcdef"), (PictureRow("row", "", tuple(paths)),), "")
    document = Document("n", "s", "h.", False, (), (), (Section("p", "Pictures", (grid,)),))
    page = html.render(document, tmp_path)
    assert len(page) < 320_000
    assert page.count("data:image/jpeg") == 6


def test_a_picture_that_is_gone_leaves_a_named_place(tmp_path: Path) -> None:
    grid = Pictures("grid", ("a",), (PictureRow("row", "", (tmp_path / "gone.png",)),), "")
    document = Document("n", "s", "h.", False, (), (), (Section("p", "Pictures", (grid,)),))
    assert "no picture" in html.render(document, tmp_path)
