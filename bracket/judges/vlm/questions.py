"""From a sample to the questions about it: which axes are asked, in which words, with which pictures."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from bracket.dataset.reading.prompts import has_word, without_trigger
from bracket.domain import DatasetSplit, Picture, Sample
from bracket.errors import JudgeError
from bracket.judges.asking import Question
from bracket.judges.frames import frames_of, is_clip
from bracket.judges.vlm.quoting import DATA_RULE, LONGEST, clean, cut, fenced, quoted
from bracket.judges.vlm.rubric import Axis, Rubric, filled

CHOICES = ("A", "B", "T")
"""The first picture, the second, and a tie."""


@dataclass(frozen=True)
class Shown:
    """A sample as it is shown: itself, or frames of a clip."""

    sample: Sample
    images: tuple[Path, ...]
    moves: bool


class Questioner:
    """Builds questions; everything in them follows from the rubric, the dataset and the sample.

    Args:
        asked: the axes that count.
        references: training pictures shown with the question about likeness; 0 for none.
        folder: where frames of clips are kept.
    """

    def __init__(
        self, rubric: Rubric, dataset: DatasetSplit, asked: Collection[str], references: int, folder: Path
    ) -> None:
        self._rubric, self._dataset, self._folder = rubric, dataset, folder
        self._axes = {name: axis for name, axis in rubric.axes.items() if name in asked}
        self._count = references if dataset.train else 0
        self._captions = [(p, _words(self._neutral(p.caption))) for p in dataset.train]
        self._class = clean(dataset.class_word)

    def shown(self, sample: Sample) -> Shown:
        """The pictures that stand for a sample.

        Raises:
            JudgeError: it is a clip that can't be read; `path` names it.
            StorageError: its frames can't be kept.
        """
        if not is_clip(sample.path):
            return Shown(sample, (sample.path,), False)
        frames = frames_of(sample.path, self._rubric.frames + 2, self._folder)
        return Shown(sample, tuple(frames), len(frames) > 1)

    def about(self, shown: Shown) -> dict[str, Question]:
        """A question for every axis that applies."""
        return {name: self._about(name, shown) for name, axis in self._axes.items() if self._applies(axis, shown)}

    def between(self, first: Shown, second: Shown) -> Question:
        """Which of two is better for the first one's prompt; they are called A and B in this order."""
        examples = self._references(first.sample) if self._rubric.compare.with_references else ()
        if not self._told(first.sample):
            examples = ()
        asked = self._rubric.compare.question
        if examples:
            asked = f"{asked} {self._rubric.compare.with_references}"
        a, b = len(first.images), len(second.images)
        lines = [
            _examples(len(examples)),
            _place("Picture A", len(examples) + 1, a),
            _place("Picture B", len(examples) + a + 1, b),
            self._fill(asked, first, len(examples)),
            "Answer with one letter and nothing else: A for picture A, B for picture B, T for a tie.",
        ]
        return self._question(lines, (*examples, *first.images, *second.images), CHOICES)

    def was_cut(self, sample: Sample) -> bool:
        """Whether its prompt is too long to be shown whole."""
        return len(self._text(sample)) > LONGEST

    def references(self) -> set[Path]:
        """The training pictures themselves, by which an error about one can be told from one about a sample."""
        return {p.path for p in self._dataset.train}

    def _applies(self, axis: Axis, shown: Shown) -> bool:
        given = {
            "prompt": bool(self._text(shown.sample)),
            "references": self._count > 0 and self._told(shown.sample),
            "frames": shown.moves,
        }
        return all(given[need] for need in axis.needs)

    def _told(self, sample: Sample) -> bool:
        """Whether the sample should be like the training pictures: its prompt names what they taught."""
        trigger = self._dataset.trigger_word
        return not trigger or has_word(sample.prompt, trigger)

    def _about(self, name: str, shown: Shown) -> Question:
        axis, scale = self._axes[name], self._rubric.scale_of(name)
        examples = self._references(shown.sample) if "references" in axis.needs else ()
        words = [o.answer for o in scale]
        lines = [
            _examples(len(examples)),
            _place(
                "The clip to judge" if shown.moves else "The picture to judge", len(examples) + 1, len(shown.images)
            ),
            self._fill(axis.question, shown, len(examples)),
            *(f"- {o.answer}: {o.means}" for o in reversed(scale) if o.means),
            f"Answer with one of these words and nothing else: {', '.join(words)}.",
        ]
        return self._question(lines, (*examples, *shown.images), tuple(words))

    def _question(self, lines: Sequence[str], images: tuple[Path, ...], options: tuple[str, ...]) -> Question:
        text = re.sub(r" *\n *", "\n", "\n".join(line.strip() for line in lines if line))
        return Question(f"{self._rubric.system.strip()}\n{DATA_RULE}", text, images, options)

    def _fill(self, text: str, shown: Shown, references: int) -> str:
        values = {
            "prompt": fenced(cut(self._text(shown.sample))),
            "class_word": quoted(self._class) if self._class else "what they show",
            "references": str(references),
            "frames": str(len(shown.images)),
        }
        return filled(text, values)

    def _text(self, sample: Sample) -> str:
        return self._neutral(sample.prompt)

    def _neutral(self, text: str) -> str:
        dataset = self._dataset
        return without_trigger(clean(text), clean(dataset.trigger_word), clean(dataset.class_word))

    def _references(self, sample: Sample) -> tuple[Path, ...]:
        """The training pictures whose captions have most words in common with the prompt; equal ones by a hash, so
        that other prompts see others and the same prompt always the same."""
        words = _words(self._text(sample))

        def rank(item: tuple[Picture, frozenset[str]]) -> tuple[float, str]:
            picture, caption = item
            common = len(words & caption) / max(1, len(words | caption))
            return -common, hashlib.sha256(f"{sample.prompt}\n{picture.path.name}".encode(*_LOOSE)).hexdigest()

        return tuple(self._still(p) for p, _ in sorted(self._captions, key=rank)[: self._count])

    def _still(self, picture: Picture) -> Path:
        """A training picture, or the middle frame of a clip."""
        if picture.width:
            return picture.path
        try:
            return frames_of(picture.path, 1, self._folder)[0]
        except JudgeError as error:
            # A path on the error would say that a sample is at fault.
            raise JudgeError(f"a training clip can't be shown: {error}") from error


_LOOSE = ("utf-8", "replace")


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))


def _examples(count: int) -> str:
    if not count:
        return ""
    return f"{'The example' if count == 1 else 'The examples'} to compare with: {_images(1, count)}."


def _place(what: str, first: int, count: int) -> str:
    """ "The picture to judge is image 3." or "The clip to judge is images 3 to 8, its frames in order." """
    return f"{what} is {_images(first, count)}{', its frames in order' if count > 1 else ''}."


def _images(first: int, count: int) -> str:
    last = first + count - 1
    return f"image {first}" if count == 1 else f"images {first} {'and' if count == 2 else 'to'} {last}"
