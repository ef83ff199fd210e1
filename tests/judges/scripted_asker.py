"""A model that answers by a function of the question: what judges are tried with where no model is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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


def as_answer(said: Mapping[str, float] | Sequence[str] | str | Answer, repeats: int) -> Answer:
    if isinstance(said, Answer):
        return said
    if isinstance(said, Mapping):
        return Answer({o: float(v) for o, v in said.items()})
    return Answer(texts=(said,) * repeats if isinstance(said, str) else tuple(said))
