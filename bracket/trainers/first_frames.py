"""The first frame of every clip as a picture, for models that begin a clip with one.

Run with the trainer's own Python, which has PyAV: `python first_frames.py REQUEST.json`, where the request is
`{clip: picture to write}`. Nothing of bracket is imported.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main(request: str) -> int:
    """Writes what isn't there yet; 1 when a clip can't be read, after the others were."""
    import av  # type: ignore[import-not-found, unused-ignore]

    failed = 0
    for clip, picture in json.loads(Path(request).read_text("utf-8")).items():
        target = Path(picture)
        part = target.with_name(f"part-{target.name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with av.open(clip) as container:
                next(container.decode(video=0)).to_image().save(part)
            os.replace(part, target)
        except (OSError, StopIteration, av.FFmpegError) as error:
            print(f"{clip}: no first frame: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
