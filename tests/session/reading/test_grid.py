"""A session's grid as a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image

from bracket.report.xyz import Grid, axes_of, build, chosen
from bracket.session import view
from bracket.session.reading.grid import save
from bracket.session.view import SessionView, TrialView
from tests.judges.test_frames import write_video
from tests.ui.made import Maker


def made_of(session: SessionView, clip: Path) -> Grid:
    """One trial after another, each with this clip as its picture of the first prompt."""

    def turned(trial: TrialView) -> TrialView:
        return replace(trial, samples=tuple(replace(s, path=clip) for s in trial.samples[-1:]))

    trials = [turned(t) for t in session.trials if t.samples]
    return build(trials, *chosen(axes_of(trials)))


def test_a_clip_is_shown_by_its_middle_frame(tmp_path: Path) -> None:
    maker = Maker(tmp_path)
    maker.search(count=2)
    maker.close()
    session = view.read(maker.folder)
    clip = write_video(tmp_path / "clip.mp4", 20)
    written = save(session, made_of(session, clip), side=64)
    assert written.notes == ()
    with Image.open(written.path) as image:
        levels = image.convert("L").histogram()
    assert sum(levels[97:104]) >= 2 * 64 * 64, "frame 10 of 20, twice"
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:40])
    assert save(session, made_of(session, broken)).notes == ("2 pictures could not be read; their places are empty.",)
