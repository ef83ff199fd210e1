"""What a reader of a vision-language judge's scores must know, counted as it is asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bracket.judges.images import told
from bracket.judges.vlm.answers import LOW_COVERAGE
from bracket.judges.vlm.quoting import LONGEST


@dataclass
class Tally:
    """Counts by content, so that what is asked twice counts once. Keys are whatever names a question or a pair."""

    axes: dict[str, str] = field(default_factory=dict)
    """The axis of every question about one picture."""
    unread: dict[str, str] = field(default_factory=dict)
    uncertain: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    pictures: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    """What had to be done to each picture, as `images.inspect` calls it."""
    pairs: dict[str, bool] = field(default_factory=dict)
    """Whether the two orders of a pair gave opposite answers."""
    unread_pairs: set[str] = field(default_factory=set)
    canaries: dict[str, int] = field(default_factory=dict)
    """The judgements or preferences that were voided, by canary; 0 where it held."""
    unread_canaries: set[str] = field(default_factory=set)

    @property
    def flip_rate(self) -> float | None:
        """Share of the pairs whose orders gave opposite answers; None before any was asked."""
        read = [v for k, v in self.pairs.items() if k not in self.unread_pairs]
        return sum(read) / len(read) if read else None

    def remarks(self) -> list[str]:
        """Sentences with counts; nothing is said of what didn't happen, but for flips and canaries, which measure."""
        found = []
        if self.unread:
            by_axis = ", ".join(f"{axis} {n}" for axis, n in sorted(Counter(self.unread.values()).items()))
            found.append(
                f"{len(self.unread)} of {len(self.axes)} questions were refused or their answers could not be read; "
                f"these axes were left out of their samples' scores ({by_axis})."
            )
        if self.uncertain:
            found.append(
                f"For {_many(len(self.uncertain), 'answer')} the words of the scale had less than "
                f"{100 * LOW_COVERAGE:.0f} % of the model's probability: it wanted to say something else."
            )
        if self.cut:
            found.append(f"{_many(len(self.cut), 'prompt')} longer than {LONGEST} characters: cut in the middle.")
        if self.flip_rate is not None:
            read = len(self.pairs) - len(self.unread_pairs)
            flips = sum(v for k, v in self.pairs.items() if k not in self.unread_pairs)
            found.append(
                f"The two orders of showing a pair gave opposite answers for {flips} of {_many(read, 'pair')} "
                f"({100 * self.flip_rate:.0f} %); these count as ties."
            )
        if self.unread_pairs:
            found.append(f"{_many(len(self.unread_pairs), 'pair')} could not be answered and count as ties.")
        return found + self._of_canaries() + told(Counter(key for keys in self.pictures.values() for key in keys))

    def _of_canaries(self) -> list[str]:
        found = []
        if self.canaries:
            void = [n for n in self.canaries.values() if n]
            told = f"; the {sum(void)} judgements of these batches were voided" if void else ""
            found.append(
                f"Praise painted into a picture raised it in {len(void)} of {_many(len(self.canaries), 'batch')}{told}."
            )
        if self.unread_canaries:
            found.append(
                f"For {_many(len(self.unread_canaries), 'batch')} the painted picture got no answer: whether text in "
                "pictures sways the judge is not known there."
            )
        return found


def _many(count: int, word: str) -> str:
    plural = f"{word}es" if word.endswith("ch") else f"{word}s"
    return f"{count} {word if count == 1 else plural}"
