"""Latents and text embeddings on disk, named by what they were made from, shared by every trial of a session."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor
from tqdm import tqdm

from bracket.files import write_bytes
from bracket.training.data.pictures import Item, read_pixels

if TYPE_CHECKING:
    from bracket.training.model.klein import Base

T = TypeVar("T")
IN_MEMORY = 1 << 30
"""Tensors of up to this many bytes are held on the training device; more are read from the cache at each use."""


@dataclass(frozen=True)
class Cache:
    """A folder of safetensors files.

    A file's name is the hash of the picture's or caption's content, of the size and of the model: a changed picture
    gets a new one, and two trials that fill the cache at once write the same bytes.
    """

    folder: Path

    def latents(self, item: Item, base: Base) -> Path:
        """Where a picture's latents are (4C, height, width), made or not."""
        return self._path("latents", item.digest, f"{item.bucket[0]}x{item.bucket[1]}", base.picture_fingerprint)

    def text(self, text: str, base: Base) -> Path:
        """Where a text's embedding is (text_length, width), made or not."""
        return self._path("text", text, base.text_fingerprint)

    def _path(self, kind: str, *parts: str) -> Path:
        return self.folder / kind / (sha256("\0".join(parts).encode()).hexdigest()[:40] + ".safetensors")

    def fill(self, base: Base, items: Sequence[Item], texts: Iterable[str]) -> None:
        """Make what is missing. The VAE and the text encoder are loaded only if something is.

        Raises:
            DatasetError: a picture doesn't decode.
        """
        pictures = {self.latents(item, base): item for item in items}
        captions = {self.text(text, base): text for text in texts}
        for path, item in _missing(pictures, "latents"):
            pixels = torch.from_numpy(read_pixels(item.path, item.bucket))
            _write(path, base.encode_picture(pixels))
        for path, text in _missing(captions, "text embeddings"):
            _write(path, base.encode_text(text))
        base.forget_text_encoder()


def _missing(wanted: dict[Path, T], what: str) -> Iterable[tuple[Path, T]]:
    missing = [(path, made_from) for path, made_from in wanted.items() if not _holds(path)]
    bar: Iterable[tuple[Path, T]] = tqdm(missing, desc=what, disable=not missing)
    return bar


def _holds(path: Path) -> bool:
    """Whether the file is there and whole; a damaged one (a disk that was full) counts as missing."""
    try:
        with safe_open(path, "pt") as file:
            return "tensor" in file.keys()  # noqa: SIM118 (a reader, not a dict)
    except (OSError, SafetensorError):
        return False


def read(path: Path) -> Tensor:
    return load_file(path)["tensor"]


def _write(path: Path, tensor: Tensor) -> None:
    # Not by safetensors' own writer: its error for a full disk is no OSError.
    write_bytes(path, save({"tensor": tensor.contiguous()}))


class Shelf:
    """Tensors of one shape by their number, in memory if they fit and from their files if not."""

    def __init__(self, paths: Sequence[Path], device: torch.device, limit: int = IN_MEMORY) -> None:
        self._paths, self._device = list(paths), device
        first = read(self._paths[0])
        self.shape = first.shape
        self._held: Tensor | None = None
        if first.nbytes * len(self._paths) <= limit:
            self._held = torch.stack([read(path) for path in self._paths]).to(device)

    def take(self, numbers: Sequence[int]) -> Tensor:
        """The tensors with these numbers, stacked, on the training device."""
        if self._held is not None:
            return self._held[torch.tensor(numbers, device=self._device)]
        return torch.stack([read(self._paths[n]) for n in numbers]).to(self._device)
