"""A config's pictures, cached and ready: every batch as tensors on the training device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import torch
from torch import Tensor

from bracket.training.data.cache import Cache, Shelf
from bracket.training.data.pictures import Item, Order
from bracket.training.model.klein import Base, image_ids, pack, text_ids
from bracket.training.process.ranks import Ranks


@dataclass(frozen=True)
class Batch:
    """Pictures of one bucket.

    Attributes:
        clean: packed latents (B, tokens, C), float32.
        texts: the number of each picture's caption, for `Batches.text`.
        ids: positions of the image's and of the text's tokens.
    """

    clean: Tensor
    texts: list[int]
    ids: tuple[Tensor, Tensor]


class Batches:
    """Training pictures by bucket. Caption number 0 is the empty one, which dropout puts in a caption's place."""

    def __init__(self, items: Sequence[Item], cache: Cache, base: Base) -> None:
        texts = {"": 0}
        buckets: dict[tuple[int, int], list[Item]] = {}
        for item in items:
            texts.setdefault(item.caption, len(texts))
            buckets.setdefault(item.bucket, []).append(item)
        self._texts = Shelf([cache.text(t, base) for t in texts], base.device)
        self._captions = [[texts[i.caption] for i in bucket] for bucket in buckets.values()]
        self._latents = [Shelf([cache.latents(i, base) for i in b], base.device) for b in buckets.values()]
        on_text = text_ids(self._texts.shape[0]).to(base.device)
        self._ids = [(image_ids(*s.shape[1:]).to(base.device), on_text) for s in self._latents]

    def stream(self, size: int, seed: int, skip: int, ranks: Ranks) -> Iterator[Batch]:
        """Batches of `size` without end, from this process's number `skip` on. Each process gets every world-th one."""
        order = Order([len(c) for c in self._captions], size, seed)
        for number, (bucket, pictures) in enumerate(order.batches(skip * ranks.world)):
            if number % ranks.world == ranks.rank:
                captions = [self._captions[bucket][n] for n in pictures]
                yield Batch(pack(self._latents[bucket].take(pictures)), captions, self._ids[bucket])

    def text(self, numbers: Sequence[int]) -> Tensor:
        """Embeddings (B, text_length, width) of captions by number."""
        return self._texts.take(numbers)


def content_of(items: Sequence[Item]) -> str:
    """A hash of all pictures, captions and sizes in their order: equal only if training sees the same."""
    digest = sha256()
    for item in items:
        digest.update(f"{item.digest} {item.bucket} {len(item.caption)} {item.caption}\n".encode())
    return digest.hexdigest()


def pass_seed(seed: int, step: int, number: int) -> int:
    """The seed of everything random (noise, timesteps, dropout) in pass `number` of a step, counted over processes.

    So nothing need be remembered to resume, and two processes train as one that accumulates two passes.
    """
    return int.from_bytes(sha256(f"{seed}/{step}/{number}".encode()).digest()[:8], "big") >> 1


def drop_captions(numbers: Sequence[int], share: float) -> list[int]:
    """Put the empty caption (number 0) in place of this share of captions, by torch's global generator."""
    if share == 0:
        return list(numbers)
    dropped = torch.rand(len(numbers)) < share
    return [0 if gone else n for n, gone in zip(numbers, dropped.tolist(), strict=True)]
