"""Pictures out of clips: what a model begins a clip with, and what a judge looks at.

Run with the trainer's own Python, which has PyAV; nothing of bracket is imported.

    python clips.py first REQUEST.json           the first frame of every clip: {clip: picture to write}
    python clips.py run SCRIPT ARGS...           the script as it is, then the last frame of every clip it drew
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path


def write_frame(clip: Path, picture: Path, *, last: bool = False) -> bool:
    """Writes the first or last frame of a clip; says on stderr, and returns False, where it can't be read."""
    import av  # type: ignore[import-not-found, unused-ignore]

    part = picture.with_name(f"part-{picture.name}")
    picture.parent.mkdir(parents=True, exist_ok=True)
    try:
        with av.open(str(clip)) as container:
            frames = container.decode(video=0)
            frame = deque(frames, maxlen=1).pop() if last else next(frames)
            frame.to_image().save(part)
        os.replace(part, picture)
    except (OSError, IndexError, StopIteration, av.FFmpegError) as error:
        print(f"{clip}: no frame of it can be read: {error}", file=sys.stderr)
        return False
    return True


def first(request: Path) -> int:
    """Writes every first frame asked for; 1 when a clip can't be read, after the others were."""
    asked = json.loads(request.read_text("utf-8"))
    return 0 if all([write_frame(Path(clip), Path(picture)) for clip, picture in asked.items()]) else 1


def run(script: str, arguments: Sequence[str]) -> None:
    """Runs a musubi-tuner script as if it had been started itself. Pictures are named like their clips, with the number
    that ends the names of still pictures."""
    samples = Path(arguments[arguments.index("--output_dir") + 1]) / "sample"
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).parent)
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        for clip in sorted(samples.glob("*.mp4")):
            write_frame(clip, clip.with_name(f"{clip.stem}_000.png"), last=True)


if __name__ == "__main__":
    if sys.argv[1] == "first":
        sys.exit(first(Path(sys.argv[2])))
    run(sys.argv[2], sys.argv[3:])
