"""A picture in place of a clip."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from bracket.session.stills import still
from tests.judges.test_frames import write_video


def test_a_clip_becomes_its_middle_frame_and_a_picture_stays(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", 20)
    found = still(clip, tmp_path)
    assert found.is_relative_to(tmp_path / "cache" / "frames")
    with Image.open(found) as image:
        assert 97 <= image.convert("L").getpixel((0, 0)) <= 103, "frame 10 of 20"
    assert still(clip, tmp_path) == found
    picture, broken = tmp_path / "a.png", tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:40])
    assert (still(picture, tmp_path), still(broken, tmp_path)) == (picture, broken)
