"""A picture in place of a clip, where only pictures can be shown: in reports and in grids."""

from __future__ import annotations

import contextlib
from pathlib import Path

from bracket.dataset.reading.media import VIDEO_SUFFIXES
from bracket.errors import JudgeError
from bracket.judges.frames import frames_of

_FRAMES = Path("cache", "frames")
"""In a session's folder: where judges keep the frames of clips, too."""


def still(path: Path, session: Path) -> Path:
    """The frame in the middle of a clip; a picture is itself, and so is a clip that can't be read: whoever shows it
    tells of it as of any damaged picture.

    Args:
        session: the folder of the session, which keeps the frame.

    Raises:
        StorageError: the frame can't be written.
    """
    if path.suffix.lower() in VIDEO_SUFFIXES:
        with contextlib.suppress(JudgeError):
            return frames_of(path, 1, session / _FRAMES)[0]
    return path
