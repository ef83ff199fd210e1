"""A model that answers by a function of the question: what judges are tried with where no model is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bracket.judges.asking import Answer, Question
from bracket.judges.images import open_image

Script = Callable[[Question], "Mapping[str, float] | Sequence[str] | str | Answer"]


class ScriptedAsker:
    """Answers by `script`: chances by option, the texts of the repeats, or one text for all of them.

    It opens every picture, as a model does, and counts what it was asked.
    """

    exclusive = False

    def __init__(self, script: Script, identity: str = "scripted") -> None:
        self.script, self.identity = script, identity
        self.asked: list[Question] = []
        self.parked = self.closed = 0

    def ask(self, questions: Sequence[Question], *, repeats: int) -> list[Answer]:
        found = []
        for question in questions:
            for path in question.images:
                open_image(path)
            self.asked.append(question)
            found.append(as_answer(self.script(question), repeats))
        return found

    def park(self) -> None:
        self.parked += 1

    def close(self) -> None:
        self.closed += 1


def bright(question: Question) -> Mapping[str, float]:
    """As good as the last picture's upper half is bright; of two the brighter."""
    if len(question.options) == 3:
        a, b = (_brightness(p) for p in question.images[-2:])
        return {"A": float(a > b), "B": float(b > a), "T": float(a == b)}
    place = _brightness(question.images[-1]) * (len(question.options) - 1)
    return {o: max(0.0, 1 - abs(i - place)) for i, o in enumerate(question.options)}


def _brightness(path: Path) -> float:
    image = open_image(path)
    return float(np.asarray(image.crop((0, 0, image.width, image.height // 2))).mean()) / 255


def as_answer(said: Mapping[str, float] | Sequence[str] | str | Answer, repeats: int) -> Answer:
    if isinstance(said, Answer):
        return said
    if isinstance(said, Mapping):
        return Answer({o: float(v) for o, v in said.items()})
    return Answer(texts=(said,) * repeats if isinstance(said, str) else tuple(said))
