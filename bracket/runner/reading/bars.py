"""How far a trainer is by its log: the training bar, told from all other bars, and what it is busy with besides."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from bracket.runner.reading.tail import ANSI, LIMIT

TRAINING = "training"
# tqdm: `steps:  71%|███████▏  | 10/14 [00:10<00:04,  1.01s/it, avr_loss=1.07]`, always after a carriage return.
_BAR = re.compile(
    r"%\|[^|]*\| *(?P<step>\d{1,12})/(?P<total>\d{1,12})"
    r" \[[\d:]+<[\d:?]+, *(?P<rate>[\d.?]+) *(?P<unit>\w+/\w+)(?:, (?P<postfix>[^\]]*))?\]"
)
_TRAINING_LABELS = frozenset({"steps", "training"})
_LOSS = re.compile(r"\b(?:avr_)?loss[=:] *([-+.\w]+)")
_AI_TOOLKIT = re.compile(r"lr\d*: *\S+ .*\bloss: *\S+")
"""AI-Toolkit names its bar after the job; what follows the rate gives it away."""
_LONGEST = 1_000
"""What no line with a bar or a phase in it exceeds."""
# Bars without a label belong to what was said last.
_PHASES = tuple(
    (re.compile(pattern), phase)
    for pattern, phase in (
        (r"^(?:epoch )?validation steps$", "validating"),
        (r"^Sampling$|(?i:\bgenerating (?:sample|baseline|images))", "sampling"),
        (
            r"cache_text_encoder\w*:Encoding dataset|Encoding prompts with|(?i:\bcaching text)|^text embeddings$",
            "caching text embeddings",
        ),
        (r"Encoding dataset|(?i:\bcaching latents)|^latents$", "caching latents"),
        (r"loading image sizes|^read caption$|^get image size$|\bFound \d+ images", "reading the dataset"),
        (r"(?i:\bsaving (?:checkpoint|state|last state|at step))", "saving"),
        (
            r"(?i:\bload(?:ing)? (?:\S+ ){0,3}(?:models?|checkpoint|pipeline|transformer|u-?net|vae|text encoder)\b)"
            r"|^Loading \S+\.safetensors$",
            "loading the model",
        ),
    )
)


@dataclass(frozen=True)
class Bar:
    """The training bar as it was last drawn: steps done and to do, loss and steps per second (None when not shown)."""

    step: int
    total: int
    loss: float | None
    speed: float | None


class LogBars:
    """Follows a log from its present end: only the new bytes, and of many only the last `limit`.

    Attributes:
        bar: the training bar; None before it was drawn.
        phase: what the trainer does now, in words for people; "" while it hasn't said.
    """

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        self.path, self.limit = path, limit
        self.bar: Bar | None = None
        self.phase = ""
        self._offset = path.stat().st_size if path.exists() else 0
        self._rest = b""

    def read_new(self) -> None:
        """Brings `bar` and `phase` up to date; a log that was begun anew is read from its start."""
        try:
            with open(self.path, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                if size < self._offset:
                    self._offset, self._rest, self.bar, self.phase = 0, b"", None, ""
                if size - self._offset > self.limit:
                    self._offset, self._rest = size - self.limit, b""
                file.seek(self._offset)
                block = file.read(self.limit)
        except OSError:
            return
        if block:
            self._offset += len(block)
            *_, self._rest = lines = (self._rest + block).replace(b"\r", b"\n").split(b"\n")
            for line in lines:  # the last one may not be whole, but a bar ends no line until the next is drawn
                self._take(ANSI.sub("", line[:_LONGEST].decode("utf-8", "replace")))
            self._rest = self._rest[-_LONGEST:]

    def _take(self, line: str) -> None:
        bar = _BAR.search(line)
        head = line[: bar.start()] if bar else ""
        before = head.rstrip("0123456789")
        if bar is None or before == head:
            self._say(line)
            return
        label, postfix = before.strip().removesuffix(":"), bar["postfix"] or ""
        if label in _TRAINING_LABELS or _AI_TOOLKIT.search(postfix):
            step = int(bar["step"])
            # musubi starts its clock again after the first step: that step's rate means nothing.
            speed = _speed(bar["rate"], bar["unit"]) if step > 1 else None
            loss = _LOSS.search(postfix)
            self.bar = Bar(step, int(bar["total"]), _number(loss[1]) if loss else None, speed)
            self.phase = TRAINING
        else:
            self._say(label)
        if rest := line[bar.end() :].strip():  # a message glued to the bar
            self._say(rest)

    def _say(self, text: str) -> None:
        self.phase = next((phase for pattern, phase in _PHASES if pattern.search(text)), self.phase)


def _speed(rate: str, unit: str) -> float | None:
    number = _number(rate)
    if not number:
        return None
    return number if unit.endswith("/s") else 1 / number


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
