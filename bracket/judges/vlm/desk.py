"""Questions to an asker by way of the cache: what was asked once is never asked again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bracket.errors import JudgeError
from bracket.judges.asking import Answer, Asker, Question
from bracket.judges.cache import AnswerCache
from bracket.judges.images import content_key

Item = TypeVar("Item")


@dataclass(frozen=True)
class Reply:
    """An answer, a name for the question by its content, whether it was asked now, and the seconds that took."""

    answer: Answer
    key: str
    asked: bool = False
    seconds: float = 0.0


class Desk:
    """An asker behind a cache. Keys are the asker's identity, all words of the question, and the pictures' content.

    Args:
        batch_size: questions put at once; what is answered is kept before the next are put.
        repeats: how often a question is asked where the model's probabilities can't be had.
    """

    def __init__(self, asker: Asker, cache: AnswerCache, batch_size: int, repeats: int) -> None:
        self._asker, self._cache, self._batch_size, self._repeats = asker, cache, batch_size, repeats

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        """A reply a question, in their order.

        Raises:
            JudgeError: a picture can't be read; `path` names it. Or as `Asker.ask`.
        """
        if not questions:
            return []
        contents = {p: content_key(p) for p in dict.fromkeys(p for q in questions for p in q.images)}
        keys = [self._key(q, contents) for q in questions]
        identity = self._asker.identity
        replies = {key: Reply(answer, key) for key, answer in self._cache.get(identity, keys).items()}
        missing = {key: q for key, q in zip(keys, questions, strict=True) if key not in replies}
        for part in parts(list(missing), self._batch_size):
            start = time.monotonic()
            answers = self._asker.ask([missing[k] for k in part], repeats=self._repeats)
            seconds = (time.monotonic() - start) / len(part)
            if len(answers) != len(part):
                raise JudgeError(f"the judge's model gave {len(answers)} answers to {len(part)} questions")
            self._cache.put(identity, dict(zip(part, answers, strict=True)))
            replies |= {k: Reply(a, k, True, seconds) for k, a in zip(part, answers, strict=True)}
        return [replies[k] for k in keys]

    def close(self) -> None:
        self._asker.close()
        self._cache.close()

    def _key(self, question: Question, contents: dict[Path, str]) -> str:
        images = [contents[p] for p in question.images]
        return digest([question.system, question.text, list(question.options), images, self._repeats])


def digest(data: object) -> str:
    """A name for plain data."""
    return hashlib.sha256(json.dumps(data).encode()).hexdigest()


def parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items, `size` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
