from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from bracket.errors import StorageError
from bracket.report import write_report
from bracket.report.figures import plots as figures
from bracket.report.summary import Summary


def test_writes_the_whole_report(finished: Summary) -> None:
    report = finished.folder / "report"
    files = {"report.md", "report.html", "mattered.json", "certificate.json", "figures"}
    assert {path.name for path in report.iterdir()} == files
    drawn = {f"{plot.figure.name}{suffix}.png" for plot in figures.plots(finished) for suffix in ("", "-dark")}
    assert {path.name for path in (report / "figures").iterdir()} == drawn | {"before-and-after.png", "duel.png"}


@pytest.mark.slow
def test_a_folder_that_can_not_be_written_is_one_sentence(finished: Summary, tmp_path: Path) -> None:
    blocked = tmp_path / "report"
    blocked.write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="is a file, not a folder"):
        write_report(finished, blocked)
    assert blocked.is_file()


@pytest.mark.slow
def test_writing_again_gives_the_same_bytes(finished: Summary, tmp_path: Path) -> None:
    write_report(finished, tmp_path)
    for name in ("report.md", "report.html", "certificate.json"):
        assert (tmp_path / name).read_bytes() == (finished.folder / "report" / name).read_bytes()


@pytest.mark.slow
def test_a_clip_is_shown_by_the_picture_it_is_given(finished: Summary, tmp_path: Path) -> None:
    red = tmp_path / "red.png"
    Image.new("RGB", (32, 32), (250, 1, 2)).save(red)
    asked: list[Path] = []
    write_report(finished, tmp_path / "report", lambda path: asked.append(path) or red)
    assert asked and all(path.exists() for path in asked)
    with Image.open(tmp_path / "report" / "figures" / "duel.png") as image:
        counts = dict((colour, n) for n, colour in image.convert("RGB").getcolors(1 << 24))
    shown = len([path for path in asked if "confirm" in path.parts])
    assert counts[(250, 1, 2)] >= shown * 32 * 32
    assert certificate_of(tmp_path) == certificate_of(finished.folder), "what was judged stays what it was"


def certificate_of(folder: Path) -> bytes:
    return (folder / "report" / "certificate.json").read_bytes()
