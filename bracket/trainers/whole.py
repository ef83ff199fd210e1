"""Whether a picture or clip was written to its end, told from its first and last bytes: trainers write in place."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"


def is_whole(path: Path) -> bool:
    """Whether a PNG, JPEG, WebP or MP4 file has its end; other files when they aren't empty. False without a file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            match path.suffix.lower():
                case ".png":
                    return _last(file, size, len(_PNG_END)) == _PNG_END
                case ".jpg" | ".jpeg":
                    return _last(file, size, len(_JPEG_END)) == _JPEG_END
                case ".webp":
                    file.seek(4)
                    return size >= 12 and 8 + int.from_bytes(file.read(4), "little") <= size
                case ".mp4":
                    return _boxes_end(file, size)
            return size > 0
    except OSError:
        return False


def _last(file: BinaryIO, size: int, count: int) -> bytes:
    file.seek(max(0, size - count))
    return file.read(count)


def _boxes_end(file: BinaryIO, size: int) -> bool:
    """Whether an MP4's outermost boxes (size, type; ISO 14496-12) fill the file and one of them is its index."""
    position, indexed = 0, False
    while position + 8 <= size:
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        if length == 1 and position + 16 <= size:
            (length,) = struct.unpack(">Q", file.read(8))
        elif length == 0:  # up to the end
            length = size - position
        if length < 8:
            return False
        indexed |= kind == b"moov"
        position += length
    return indexed and position == size
