"""The little model that the stand-in trainers train: a few numbers, a loss and a picture that follow from them.

Nothing here is drawn by chance: a loss follows from the settings, the seed and the step, a picture from the prompt and
the weights. Weights of zeros are the bare base, as with a LoRA before its first step. From a learning rate of 1e6 on
the weights are NaN after the second step, and the pictures flat.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PACE = "STAND_IN_PACE"
"""Environment variable: seconds that a step takes."""
MELTING = 1e6
_SIDE = 16


@dataclass
class Lora:
    """What is trained, and the optimiser's state."""

    weights: NDArray[np.float32]
    momentum: NDArray[np.float32]

    @classmethod
    def fresh(cls, rank: int) -> Lora:
        return cls(np.zeros(rank, np.float32), np.zeros(rank, np.float32))

    def step(self, lr: float, seed: int, step: int, settings: object) -> float:
        """One update, the `step`-th from 1; returns its loss."""
        time.sleep(float(os.environ.get(PACE, 0)))
        lot = _generator("step", seed, step, settings)
        if lr >= MELTING and step > 1:
            self.weights[:] = np.nan
            return math.nan
        self.momentum = 0.9 * self.momentum + lot.standard_normal(len(self.weights), np.float32)
        self.weights = self.weights - np.float32(min(lr, 1.0)) * self.momentum
        return 1 / (1 + step * min(lr, 1.0)) + 0.01 * float(lot.random())

    def validate(self) -> float:
        return float(np.mean((self.weights - 1) ** 2))

    def draw(self, path: Path, prompt: object) -> None:
        """Writes a picture in the format that the path's name says."""
        from PIL import Image

        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((_SIDE, _SIDE, 3), np.uint8)
        if np.isfinite(self.weights).all():
            drawn_with = self.weights.tobytes().hex() if self.weights.any() else ""
            pixels = _generator("picture", prompt, drawn_with).integers(0, 256, pixels.shape, np.uint8)
        Image.fromarray(pixels).save(path)

    def save(self, path: Path, metadata: Mapping[str, str]) -> None:
        from safetensors.numpy import save_file

        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"lora.weight": self.weights}, path, dict(metadata))

    def load(self, path: Path) -> None:
        """Takes the weights of a file. Raises RuntimeError when it is of another rank, as torch does."""
        from safetensors.numpy import load_file

        weights = load_file(path)["lora.weight"]
        if weights.shape != self.weights.shape:
            raise RuntimeError(f"size mismatch for lora.weight: {weights.shape} against {self.weights.shape}")
        self.weights = weights


def rate(schedule: str, lr: float, step: int, total: int) -> float:
    """The learning rate of a step (from 1) of `total`."""
    done = (step - 1) / max(1, total)
    return lr * {"cosine": 0.5 + 0.5 * math.cos(math.pi * done), "linear": 1 - done}.get(schedule, 1.0)


def _generator(*of: object) -> np.random.Generator:
    text = json.dumps(of, sort_keys=True, default=str)
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little"))


class Events:
    """A tfevents file as torch's and tensorboardX's writers leave it: flushed after every record."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True)  # a second run within one second collides, as with the trainers
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.0"
        self._writer: Any = RecordWriter((folder / name).open("wb"))
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        for tag, value in values.items():
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def _write(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())
        self._writer.flush()
