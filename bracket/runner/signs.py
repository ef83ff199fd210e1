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
    """Counts of what the log says once a step.

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
                text = rest + block
                end = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1 if len(block) == _BLOCK else len(text)
                skipped += len(_SKIPPED.findall(text, 0, end))
                nan += len(_NAN.findall(text, 0, end))
                rest = text[end:]
    except FileNotFoundError:
        return Signs()
    return Signs(skipped, nan)
