"""A vision-language model in this process, through transformers: Qwen3-VL, Qwen2.5-VL, or another one by name.

A question is answered by a forward pass: the probabilities of the tokens that begin each option. Nothing is written
unless the options together have less than `WANTED` of the probability; then the model writes too, for whoever reads it.

How far an answer depends on the questions asked beside it: padding and the order of sums differ, which moves chances by
about 1e-7 in float32 and 1e-3 in bfloat16 (tiny models on a CPU). What is written is written one question at a time,
drawn with a seed that the question gives, so it doesn't depend on them at all.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from bracket.errors import JudgeError
from bracket.judges.asking import Answer, Question
from bracket.judges.base import JudgeSettings
from bracket.judges.embeddings.model import identity, resolve
from bracket.judges.images import content_key
from bracket.judges.local.check import DEFAULT, architecture, check_folder, check_local, find_device, read_config
from bracket.judges.local.input import TOKENS_A_PICTURE, TOKENS_A_QUESTION, first_line
from bracket.judges.local.model import VisionModel, ask_chances, free_cache, out_of_memory
from bracket.runner.devices import Device

__all__ = ["DEFAULT", "LocalModel", "check_local"]

WANTED = 0.5
WORDS = 256
"""Tokens a model may write."""
_FORMULA = 1
"""Part of the identity; goes up when questions are put or read in another way."""


class LocalModel:
    """An asker, see `asking.Asker`. Loads nothing before the first question.

    Args:
        settings: `model` ("" for `DEFAULT`), `device`, `quantize`, and `batch_size`: questions a forward pass at most.
    """

    def __init__(self, settings: JudgeSettings) -> None:
        self._settings = settings
        self._name = settings.model or DEFAULT
        self._batch = settings.batch_size
        self._model: VisionModel | None = None
        self._lock = threading.Lock()

    @cached_property
    def _device(self) -> Device:
        device = find_device(self._settings.device)
        if device is None:
            raise JudgeError(f"the judge's device {self._settings.device!r} isn't here", remedy="Leave it empty.")
        return device

    @cached_property
    def _folder(self) -> Path:
        """The model's folder; downloads it where it must be."""
        return resolve(self._name, check_folder)

    @cached_property
    def identity(self) -> str:
        """Files of the model, its class, and how it is run.

        Raises:
            JudgeError: the model can't be used, or isn't here and can't be downloaded.
        """
        self._refuse()
        precision = "float32" if self._device.kind == "cpu" else "bfloat16"
        how = [_FORMULA, precision, self._settings.quantize, TOKENS_A_PICTURE, TOKENS_A_QUESTION]
        kind = architecture(read_config(self._folder))
        return "/".join([kind, identity(self._folder), *map(str, how)])

    @property
    def exclusive(self) -> bool:
        return self._device.kind != "cpu"

    @property
    def loads(self) -> int:
        """How often the weights were read from disk."""
        return self._model.loads if self._model else 0

    def ask(self, questions: Sequence[Question], *, repeats: int) -> list[Answer]:
        """See `Asker.ask`. Where the options have less than `WANTED` of the probability, an answer holds chances and
        `repeats` texts: the likeliest first, the others drawn."""
        with self._lock:
            model = self._opened() if questions else None
            answers: dict[int, Answer] = {}
            for options in dict.fromkeys(q.options for q in questions):
                places = [i for i, q in enumerate(questions) if q.options == options]
                assert model is not None
                found = self._answers(model, [questions[i] for i in places], repeats)
                answers.update(zip(places, found, strict=True))
            return [answers[i] for i in range(len(questions))]

    def park(self) -> None:
        """Move the weights to RAM, or let go of them where RAM is short; nothing to do on a CPU."""
        with self._lock:
            if self._model:
                self._model.park()

    def close(self) -> None:
        with self._lock:
            if self._model:
                self._model.drop()
            self._model = None

    def _opened(self) -> VisionModel:
        if self._model is None:
            self._refuse()
            folder = self._folder
            self._refuse()  # of what was downloaded more is known than its name
            self._model = VisionModel(folder, self._device, self._settings.quantize)
        return self._model

    def _refuse(self) -> None:
        for problem in check_local(self._settings):
            if problem.level == "error":
                # A path on the error would say that a picture is at fault.
                where = f" ({problem.path})" if problem.path else ""
                raise JudgeError(f"{problem.message}{where}", remedy=problem.remedy)

    def _answers(self, model: VisionModel, questions: Sequence[Question], repeats: int) -> list[Answer]:
        """Answers to questions with the same options, in batches that fit into memory."""
        answers: list[Answer] = []
        while len(answers) < len(questions):
            batch = questions[len(answers) : len(answers) + self._batch]
            full = False
            try:
                answers += self._ask_batch(model, batch, repeats)
            except (RuntimeError, ValueError, IndexError) as error:
                full = out_of_memory(error)
                if not full:
                    raise JudgeError(f"the judge's model failed: {first_line(error)}") from error
            if full:  # outside the except, whose error holds on to the tensors
                free_cache()
                self._halve(len(batch))
        return answers

    def _halve(self, size: int) -> None:
        if size == 1:
            raise JudgeError(
                f"the memory of {self._device.id} is too small for a single question to the judge's model",
                remedy="Quantise the model, name a smaller one, or end what else uses the memory.",
            )
        self._batch = size // 2

    def _ask_batch(self, model: VisionModel, questions: Sequence[Question], repeats: int) -> list[Answer]:
        if not questions[0].options:
            return [Answer(None, self._texts(model, q, repeats), 0.0) for q in questions]
        answers = []
        for question, (chances, coverage) in zip(questions, ask_chances(model, questions), strict=True):
            texts = self._texts(model, question, repeats) if coverage < WANTED else ()
            answers.append(Answer(chances, texts, coverage))
        return answers

    def _texts(self, model: VisionModel, question: Question, repeats: int) -> tuple[str, ...]:
        inputs = model.ready().batch([question])
        seeds = [None, *(_seed(question, i) for i in range(1, repeats))]
        return tuple(model.write(inputs, WORDS, seed) for seed in seeds)


def _seed(question: Question, number: int) -> int:
    """The same for the same question and pictures, wherever the files lie."""
    pictures = [content_key(path) for path in question.images]
    data = json.dumps([question.system, question.text, pictures, question.options, number])
    return int.from_bytes(hashlib.sha256(data.encode()).digest()[:6])
