"""What a whole log says that its end may not: training steps that were left out, and losses that were no number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 1 << 20
# AI-Toolkit goes on after both, counts the step, and ends with exit code 0.
_SKIPPED = re.compile(rb"OOM during training step, skipping batch")
_NAN = re.compile(rb"\bloss is nan\b", re.IGNORECASE)


@dataclass(frozen=True)
class Signs:
    """Counts of log lines.

    Attributes:
        skipped: training steps left out because memory ran out.
        nan: steps whose loss was NaN and was replaced by 0.
    """

    skipped: int = 0
    nan: int = 0


def read_signs(log: Path) -> Signs:
    """Looks through a log once, whatever its size; no file, no signs."""
    skipped = nan = 0
    rest = b""
    try:
        with log.open("rb") as file:
            while block := file.read(_BLOCK):
                *whole, rest = re.split(rb"[\r\n]", rest + block)
                skipped += sum(bool(_SKIPPED.search(line)) for line in whole)
                nan += sum(bool(_NAN.search(line)) for line in whole)
    except FileNotFoundError:
        return Signs()
    return Signs(skipped + bool(_SKIPPED.search(rest)), nan + bool(_NAN.search(rest)))
