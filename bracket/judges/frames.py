"""Clips for judging: a few frames as pictures, and what only all of them together show (flicker, motion).

Animated GIF, WebP, PNG and AVIF are read with Pillow, video with PyAV (https://pyav.basswood-io.com, FFmpeg's libraries
in one wheel of about 30 MB), which is imported only when a video is read.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bracket.dataset.reading.media import VIDEO_SUFFIXES
from bracket.errors import JudgeError
from bracket.files import storage_errors
from bracket.judges.images import MOVING, check_size, content_key, opened, to_rgb

Frames = NDArray[np.float32]

STRIP = 256
"""Frames that `strip` reads at most: enough for ten seconds, and half a minute of work at the very worst."""
SIDE = 64
"""Pixels a side of the frames that `strip` gives."""
BLOCKS = 8
"""Parts of a side whose brightness `flicker` looks at."""
WHOLE = 0.9
"""Share of the frames a container announces that must be there; some encoders announce a few too many."""

_REMEDY = "Replace it with a whole clip."
_SIGNATURES = ((0, b"\x1aE\xdf\xa3"), (0, b"FLV"), (0, b"0&\xb2u"), (0, b"\0\0\x01\xba"), (8, b"AVI "), (4, b"ftyp"))
"""Where a video's first bytes say what it is: Matroska and WebM, FLV, ASF, MPEG, AVI, and the MP4 family."""


def is_clip(path: Path) -> bool:
    """Whether the file moves: a video, or an animation of two frames or more. By content if that tells, else by name.

    A file that is missing or damaged is what its name says; reading it will tell what is wrong.
    """
    with contextlib.suppress(JudgeError), opened(path) as image:
        return image.format in MOVING and getattr(image, "n_frames", 1) > 1
    with contextlib.suppress(OSError), path.open("rb") as file:
        head = file.read(12)
        if any(head[at : at + len(mark)] == mark for at, mark in _SIGNATURES):
            # Still pictures of the same family (HEIC) that Pillow can't read are no videos.
            return head[8:12] not in (b"heic", b"heix", b"mif1", b"avif")
    return path.suffix.lower() in VIDEO_SUFFIXES


def frames_of(path: Path, count: int, into: Path) -> list[Path]:
    """`count` frames of a clip in their order, the first and the last among them and the others evenly between.

    A clip with fewer frames gives all it has, a still picture itself; a `count` of 1 gives the middle one. They are
    PNGs in a folder of `into` named by the clip's content, and made only once.

    Raises:
        JudgeError: the clip is missing, damaged or without any frame (`path` names it), or it is a video and PyAV is
            missing (`path` is None).
        StorageError: the frames can't be written.
    """
    folder = into / f"{content_key(path)[:32]}-{count}"
    if not folder.is_dir():
        with storage_errors(into):
            into.mkdir(parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(prefix="part-", dir=into))
        try:
            number = 0
            for number, image in enumerate(_chosen(path, count), 1):
                with storage_errors(part):
                    image.save(part / f"{number - 1:03d}.png")
            if not number:
                raise JudgeError("the clip has no frame", path=path, remedy=_REMEDY)
            # Another process may have made it meanwhile; its frames are the same.
            with contextlib.suppress(OSError):
                part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return sorted(folder.glob("*.png"))


def strip(path: Path, limit: int = STRIP) -> Frames:
    """The clip's first frames, none left out, as small pictures (T, 64, 64, 3) with values 0..1; T is at most `limit`.

    Raises:
        JudgeError: as `frames_of`.
    """
    small: list[NDArray[np.uint8]] = []
    for image in _all(path):
        small.append(np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), np.uint8))
        if len(small) == limit:
            break
    if not small:
        raise JudgeError("the clip has no frame", path=path, remedy=_REMEDY)
    return np.stack(small).astype(np.float32) / np.float32(255)


def motion(frames: Frames) -> float:
    """How much changes from frame to frame, 0..1: mean |x(t+1) - x(t)| over pixels and neighbours, without brightness.

    Every channel's mean is taken off each frame first, so that a flash or a fade is no motion. 0 is a still; pure noise
    is near 0.33; real clips lie below 0.1. Less than two frames give 0.

    Args:
        frames: neighbouring frames (T, H, W, 3), values 0..1, see `strip`.
    """
    if len(frames) < 2:
        return 0.0
    level = frames - frames.mean((1, 2), keepdims=True)
    return float(np.clip(np.abs(np.diff(level, axis=0)).mean(), 0, 1))


def flicker(frames: Frames) -> float:
    """How far brightness goes there and back within two frames, 0..1.

    Of two successive changes of a part's mean brightness (8×8 parts) with opposite signs the smaller one counts, with
    equal signs none; the mean over parts and times is the flicker. So a fade, a cut and an edge that moves across give
    0, black and white in turn gives 1, and noise that averages out within a part next to nothing. What moves to and fro
    within two frames counts as flicker too: pixels alone can't tell. Less than three frames give 0.

    Args:
        frames: neighbouring frames (T, H, W, 3), values 0..1, with sides that 8 divides; see `strip`.
    """
    if len(frames) < 3:
        return 0.0
    count, height, width, channels = frames.shape
    parts = frames.reshape(count, BLOCKS, height // BLOCKS, BLOCKS, width // BLOCKS, channels).mean((2, 4, 5))
    change = np.diff(parts, axis=0)
    back = np.where(change[:-1] * change[1:] < 0, np.minimum(np.abs(change[:-1]), np.abs(change[1:])), 0)
    return float(np.clip(back.mean(), 0, 1))


def _indices(total: int, count: int) -> list[int]:
    """Which of `total` frames are chosen."""
    if count < 2:
        return [total // 2]
    return sorted({round(i * (total - 1) / (count - 1)) for i in range(count)})


def _chosen(path: Path, count: int) -> Iterator[Image.Image]:
    if _is_picture(path):
        with opened(path) as image:
            for number in _indices(_length(image), count):
                image.seek(number + _hidden(image))
                yield to_rgb(image)
        return
    with _video(path) as (container, stream):
        times = _times(container, stream)
        if len(times) < stream.frames * WHOLE:
            said = f"the clip is cut short: {len(times)} of its {stream.frames} frames are there"
            raise JudgeError(said, path=path, remedy=_REMEDY)
        yield from _at(container, stream, times, _indices(len(times), count) if times else [])


def _all(path: Path) -> Iterator[Image.Image]:
    if _is_picture(path):
        with opened(path) as image:
            for number in range(_length(image)):
                image.seek(number + _hidden(image))
                yield to_rgb(image)
        return
    with _video(path) as (container, stream):
        for frame in container.decode(stream):
            yield frame.to_image()


def _is_picture(path: Path) -> bool:
    """Whether Pillow reads it; what neither can read is told as what its name says."""
    try:
        with opened(path):
            return True
    except JudgeError:
        if path.is_file() and not is_clip(path):
            raise
        return False


def _length(image: Image.Image) -> int:
    return getattr(image, "n_frames", 1) - _hidden(image) if image.format in MOVING else 1


def _hidden(image: Image.Image) -> int:
    """1 when the first frame of an animated PNG is only there for programs that show no animation."""
    return int(bool(getattr(image, "default_image", False)) and getattr(image, "n_frames", 1) > 1)


@contextlib.contextmanager
def _video(path: Path) -> Iterator[tuple[Any, Any]]:
    """The open container and its video stream; errors inside are told of the path."""
    try:
        import av
    except ImportError as error:
        raise JudgeError(
            "clips can't be judged without the package av", remedy="Install it: python -m pip install av"
        ) from error
    try:
        with av.open(str(path)) as container:
            stream = next(iter(container.streams.video), None)
            if stream is None or stream.codec_context is None:
                raise JudgeError("the clip has no video that can be read", path=path, remedy=_REMEDY)
            check_size(path, stream.codec_context.width, stream.codec_context.height)
            stream.thread_type = "AUTO"
            yield container, stream
    except FileNotFoundError as error:
        raise JudgeError("there is no clip here", path=path, remedy="Check the path.") from error
    except (OSError, ValueError, IndexError, av.FFmpegError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        reason = reason if path.stat().st_size else "the file is empty"
        raise JudgeError(f"the clip can't be read: {reason}", path=path, remedy=_REMEDY) from error


def _times(container: Any, stream: Any) -> list[int | None]:
    """When each frame is shown, in order, by the packets alone: nothing is decoded, so an hour takes a second.

    A container without times gives None for every frame.
    """
    found = [packet.pts for packet in container.demux(stream) if packet.size]
    return sorted(found) if all(t is not None for t in found) else [None] * len(found)


def _at(container: Any, stream: Any, times: Sequence[int | None], wanted: Sequence[int]) -> Iterator[Image.Image]:
    """The wanted frames. Jumps to what comes before a frame where times are known, else counts from the start."""
    if not wanted:
        return
    if times[0] is None:
        container.seek(0)
        yield from _counted(container.decode(stream), wanted)
        return
    for number in wanted:
        container.seek(times[number], stream=stream)
        frame = None
        for frame in container.decode(stream):
            if frame.pts is not None and frame.pts >= times[number]:
                break
        if frame is not None:
            yield frame.to_image()


def _counted(frames: Iterator[Any], wanted: Sequence[int]) -> Iterator[Image.Image]:
    """The wanted ones of all frames; in place of those past the end (counted by packets), the last one."""
    frame, rest = None, list(wanted)
    for number, frame in enumerate(frames):
        if rest and number == rest[0]:
            yield frame.to_image()
            rest.pop(0)
    if rest and frame is not None:
        yield frame.to_image()
