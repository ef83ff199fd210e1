"""How a vision-language model is asked, whoever runs it: a question with pictures, and the answers that count.

What a question means is the rubric's business (`vlm.rubric`), what an answer is worth is the judge's (`vlm.judge`); an
asker only puts questions to a model: in this process (`local.qwen_vl`) or on a server (`server.openai_api`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Question:
    """One question about pictures.

    Attributes:
        system: what the model is told of its task; nothing a user or a dataset wrote stands in it.
        text: the question itself. A user's words (a prompt, a caption) stand in it quoted, as data.
        images: the pictures, in the order the text speaks of them.
        options: the answers that count, such as ("1", "2", "3", "4", "5") or ("A", "B", "T").
    """

    system: str
    text: str
    images: tuple[Path, ...]
    options: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What a model answered.

    Attributes:
        chances: the probability of each option, adding up to 1, where the model's probabilities can be had; else None.
        texts: what it wrote, once for every time it was asked.
        coverage: the probability that all options together had before they were made to add up to 1: low means that it
            wanted to say something else.
    """

    chances: Mapping[str, float] | None = None
    texts: tuple[str, ...] = ()
    coverage: float = 1.0


class Asker(Protocol):
    """A model that can be asked. Calls may come from several threads."""

    @property
    def identity(self) -> str:
        """Changes whenever its answers could: model, weights, precision, server."""
        ...

    @property
    def exclusive(self) -> bool:
        """Whether it needs the GPU for itself while it is asked."""
        ...

    def ask(self, questions: Sequence[Question], *, repeats: int) -> list[Answer]:
        """An answer a question, in their order; `repeats` times where there are no probabilities.

        Raises:
            JudgeError: a picture can't be read (`path` names it), or the model can't be used (`path` is None).
            JudgeUnavailable: it can't be asked now.
        """
        ...

    def park(self) -> None:
        """Free the GPU; the next question takes it back."""
        ...

    def close(self) -> None:
        """Let go of the model."""
        ...
