"""Pictures and texts to vectors, through the cache: the model is loaded only for what isn't known yet."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from bracket.judges.cache import Vector, VectorCache
from bracket.judges.embeddings.model import Check, ClipModel, Vectors, check_clip, identity, resolve
from bracket.judges.images import content_key, inspect, open_image, shuffled, thumbnail


@dataclass(frozen=True)
class Seen:
    """Pictures as vectors: unit embeddings (N, D) and thumbnails (N, 3072), see `images.thumbnail`."""

    embeddings: Vectors
    thumbnails: Vectors


class Embedder(Protocol):
    """What looks at pictures; a `ClipModel` reads texts too."""

    def images(self, pictures: Sequence[Image.Image]) -> Vectors: ...


class Encoder:
    """A model behind a cache. `load` makes the model from its folder, `check` says what is wrong with that folder."""

    def __init__(
        self,
        model: str,
        cache: VectorCache,
        batch_size: int,
        load: Callable[[Path], Embedder] | None = None,
        check: Check = check_clip,
    ) -> None:
        self._model, self._cache, self._batch_size = model, cache, batch_size
        self._load, self._check = load or ClipModel, check
        self._found: dict[str, tuple[str, ...]] = {}

    @property
    def notes(self) -> Counter[str]:
        """What had to be done to the pictures asked for so far, each counted once, see `images.inspect`."""
        return Counter(note for found in self._found.values() for note in found)

    @cached_property
    def folder(self) -> Path:
        return resolve(self._model, self._check)

    @cached_property
    def identity(self) -> str:
        return identity(self.folder)

    @cached_property
    def loaded(self) -> Embedder:
        return self._load(self.folder)

    def pictures(self, paths: Sequence[Path]) -> Seen:
        """Embeddings and thumbnails, in the order of the paths.

        Raises:
            JudgeError: a file can't be read; `path` names it.
        """
        keys = [content_key(p) for p in paths]
        for key, path in zip(keys, paths, strict=True):
            if key not in self._found:
                self._found[key] = inspect(path)
        vectors = self._known_or_made([f"image:{k}" for k in keys], paths, self._look)
        found = [np.split(v, [len(v) - _THUMBNAIL]) for v in vectors]
        return Seen(np.stack([f[0] for f in found]), np.stack([f[1] for f in found]))

    def shuffled(self, paths: Sequence[Path]) -> Vectors:
        """Embeddings of the pictures with their tiles shuffled (N, D), see `images.shuffled`."""
        keys = [f"shuffled:{content_key(p)}" for p in paths]
        return np.stack(self._known_or_made(keys, paths, self._look_shuffled))

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Embeddings (N, D) of texts. Only a CLIP has them."""
        keys = [f"text:{hashlib.sha256(t.encode()).hexdigest()}" for t in texts]
        return np.stack(self._known_or_made(keys, texts, self._read))

    def _read(self, texts: Sequence[str]) -> Vectors:
        if not isinstance(self.loaded, ClipModel):
            raise TypeError("a model of pictures alone reads no texts")
        return self.loaded.texts(texts)

    def _look(self, paths: Sequence[Path]) -> Vectors:
        images = [open_image(p) for p in paths]
        return np.concatenate([self.loaded.images(images), np.stack([thumbnail(i) for i in images])], 1)

    def _look_shuffled(self, paths: Sequence[Path]) -> Vectors:
        images: list[Image.Image] = [shuffled(open_image(p)) for p in paths]
        return self.loaded.images(images)

    def _known_or_made(
        self, keys: list[str], items: Sequence[Any], make: Callable[[Sequence[Any]], Vectors]
    ) -> list[Vector]:
        """A vector a key, from the cache or made of its item; each batch is kept as soon as it is made."""
        known = self._cache.get(self.identity, keys)
        missing = {key: item for key, item in zip(keys, items, strict=True) if key not in known}
        for part in _batches(list(missing), self._batch_size):
            made = dict(zip(part, make([missing[k] for k in part]), strict=True))
            self._cache.put(self.identity, made)
            known |= made
        return [known[k] for k in keys]


_THUMBNAIL = thumbnail(Image.new("RGB", (1, 1))).size


def _batches(keys: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]
