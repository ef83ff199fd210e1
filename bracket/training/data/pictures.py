"""Pictures and captions on their way to the model: what to train on, at which size, in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bracket.dataset.bucketing import bucket_of
from bracket.dataset.reading.headers import DECODING_ERRORS, open_picture
from bracket.dataset.reading.media import SUFFIXES
from bracket.errors import DatasetError
from bracket.training.config.schema import CaptionedFile, DataSection

_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Item:
    """A picture with its caption, verbatim, the SHA-256 of its file and the size (width, height) it is trained at."""

    path: Path
    caption: str
    digest: str
    bucket: tuple[int, int]


def find_items(data: DataSection) -> tuple[list[Item], list[Item]]:
    """Training and validation pictures of a config.

    Raises:
        DatasetError: a picture or caption can't be read, or there is nothing to train on.
    """
    train = data.train or _folder(data.folder)
    once = {(f.path, f.caption): f for f in train}  # repeats name a picture several times
    read = {key: _item(f, data) for key, f in once.items()}
    return [read[f.path, f.caption] for f in train], [_item(f, data) for f in data.validation]


def _folder(folder: Path | None) -> list[CaptionedFile]:
    if folder is None or not folder.is_dir():
        raise DatasetError("The folder of pictures doesn't exist", path=folder, remedy="Check data.folder.")
    pictures = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    if not pictures:
        kinds = ", ".join(sorted(s[1:] for s in SUFFIXES))
        raise DatasetError("The folder holds no pictures", path=folder, remedy=f"These are read: {kinds}.")
    return [CaptionedFile(path=p, caption=_caption(p)) for p in pictures]


def _caption(picture: Path) -> str:
    path = picture.with_suffix(".txt")
    try:
        return path.read_text(encoding="utf-8-sig").rstrip("\r\n")
    except FileNotFoundError as error:
        raise DatasetError("A picture has no caption file", path=picture, remedy=f"Write one: {path.name}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError("A caption can't be read", path=path, remedy="It must be UTF-8 text.") from error


def _item(file: CaptionedFile, data: DataSection) -> Item:
    try:
        content = file.path.read_bytes()
    except OSError as error:
        raise _unreadable(file.path, error.strerror or str(error)) from error
    try:
        with open_picture(BytesIO(content)) as image:
            width, height = image.size
            if image.getexif().get(_ORIENTATION) in (5, 6, 7, 8):
                width, height = height, width
    except DECODING_ERRORS as error:
        raise _unreadable(file.path, "it is not a picture") from error
    bucket = bucket_of(width, height, data.resolution, data.buckets)
    return Item(file.path, file.caption, sha256(content).hexdigest(), bucket)


def _unreadable(path: Path, reason: str) -> DatasetError:
    return DatasetError(f"A picture can't be read: {reason}", path=path, remedy="Replace it or take it out.")


def read_pixels(path: Path, size: tuple[int, int]) -> NDArray[np.float32]:
    """A picture as float32 (3, height, width) in -1..1: turned by EXIF, on white where it is transparent, resized to
    cover `size` (width, height) and cropped at the centre.

    Raises:
        DatasetError: the file doesn't decode.
    """
    try:
        with open_picture(path) as image:
            turned = ImageOps.exif_transpose(image)
            fitted = ImageOps.fit(_rgb(turned), size, Image.Resampling.LANCZOS)
    except DECODING_ERRORS as error:
        raise _unreadable(path, "it doesn't decode") from error
    return np.asarray(fitted, np.float32).transpose(2, 0, 1) / 127.5 - 1


def _rgb(image: Image.Image) -> Image.Image:
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255
        image = Image.fromarray((np.asarray(image, np.float64) / 257).round().clip(0, 255).astype(np.uint8))
    return image.convert("RGB")


class Order:
    """Which pictures each batch holds: a pure function of the seed, so that a resume needs no memory of it.

    Every bucket is an endless run of shuffles of its own pictures, cut into whole batches; an epoch shuffles the
    batches that are due from all of them. Every picture is seen equally often and no batch is short.
    """

    def __init__(self, sizes: Sequence[int], batch: int, seed: int) -> None:
        """`sizes` is the number of pictures in each bucket; none may be 0."""
        self.sizes, self.batch, self.seed = tuple(sizes), batch, seed

    def batches(self, start: int = 0) -> Iterator[tuple[int, list[int]]]:
        """(bucket, indices within it) of batch number `start` and all that follow, without end."""
        position = 0
        epoch = 0
        while True:
            due = self._due(epoch)
            if position + len(due) > start:
                for bucket, number in due[max(0, start - position) :]:
                    yield bucket, self._pictures(bucket, number)
            position += len(due)
            epoch += 1

    def _due(self, epoch: int) -> list[tuple[int, int]]:
        due = [
            (bucket, number)
            for bucket, size in enumerate(self.sizes)
            for number in range(epoch * size // self.batch, (epoch + 1) * size // self.batch)
        ]
        shuffled = np.random.default_rng([self.seed, 0, epoch]).permutation(len(due))
        return [due[i] for i in shuffled]

    def _pictures(self, bucket: int, number: int) -> list[int]:
        size = self.sizes[bucket]
        places = range(number * self.batch, (number + 1) * self.batch)
        return [int(self._shuffles(bucket, place // size)[place % size]) for place in places]

    @cached_property
    def _shuffled(self) -> dict[tuple[int, int], NDArray[np.int64]]:
        return {}

    def _shuffles(self, bucket: int, round_: int) -> NDArray[np.int64]:
        kept = self._shuffled
        if (bucket, round_) not in kept:
            for old in [key for key in kept if key[0] == bucket and key[1] < round_ - 1]:
                del kept[old]
            kept[bucket, round_] = np.random.default_rng([self.seed, 1, bucket, round_]).permutation(self.sizes[bucket])
        return kept[bucket, round_]
