from __future__ import annotations

from pathlib import Path

import pytest

from bracket.errors import StorageError
from bracket.report import figures, write_report
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
