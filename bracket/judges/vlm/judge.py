"""The judge behind which any vision-language model may stand: it asks a rubric's questions and makes scores of answers.

- Each axis is a question of its own; its value is the expected value over the probabilities of the scale's words where
  the model gives them, else the median of several answers. Nothing is rescaled by what else is in the batch.
- The score is the weighted mean of the axes that were answered. A sample without any is an error, never a zero.
- Every answer is kept by model, question and the content of the pictures: what was asked once is never asked again.
- In every batch one picture is judged once more with praise painted into it (`canary`). When that raises its score, the
  batch is void and an error says so. It isn't asked again in other words: the warning about text in pictures stands in
  every question already, and scores that were asked for in two ways can't be compared.
- Two pictures of one prompt are compared in both orders (`pairs`); of different prompts by their scores, for no
  question can be put about both.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bracket.domain import DatasetSplit, Judgement, Preference, Sample
from bracket.errors import JudgeError, JudgeUnavailable
from bracket.judges.asking import Answer, Asker, Question
from bracket.judges.base import JudgeSettings, preference, resolve_weights, weighted_mean
from bracket.judges.cache import AnswerCache
from bracket.judges.images import content_key, inspect
from bracket.judges.vlm import canary
from bracket.judges.vlm.answers import EXPECTED, LOW_COVERAGE, by_chances, read_scale
from bracket.judges.vlm.desk import Desk, Reply, digest, parts
from bracket.judges.vlm.pairs import Verdict, read_pair, together
from bracket.judges.vlm.questions import CHOICES, Questioner, Shown
from bracket.judges.vlm.quoting import quoted
from bracket.judges.vlm.rubric import Rubric
from bracket.judges.vlm.tally import Tally

_FORMULA = 1
"""Part of the fingerprint; goes up when questions are put together or answers read in another way."""
Pair = tuple[Sample, Sample]


@dataclass(frozen=True)
class Asked:
    """One question about a sample and what came of it, as the Judge tab shows it.

    Attributes:
        answer: the options' probabilities, or the texts.
        value: 0..1, None when the answer was a refusal or could not be read.
        spread: its standard deviation.
        how: "expected value" or "median of 5".
        seconds: what asking took; 0 when the answer was known.
        key: names the question by its content.
    """

    axis: str
    question: Question
    answer: Answer
    value: float | None
    spread: float
    how: str
    seconds: float
    key: str


class VlmJudge:
    """A judge, see the module.

    Args:
        asker: the model; this judge closes it.
        settings: weights, batch size, repeats and references are taken from them.
        cache: file that keeps answers; frames of clips and painted pictures are kept beside it.
        name: stored with every judgement.

    Raises:
        JudgeError: a weight names no axis, or none is left that counts.
        StorageError: the cache can't be opened.
    """

    def __init__(
        self, asker: Asker, rubric: Rubric, settings: JudgeSettings, dataset: DatasetSplit, cache: Path, name: str
    ) -> None:
        self.name = name
        self._weights = resolve_weights(rubric.weights, settings.weights)
        self._asker, self._rubric, self._settings = asker, rubric, settings
        counting = {axis for axis, weight in self._weights.items() if weight > 0}
        self._questions = Questioner(rubric, dataset, counting, settings.references, cache.parent / "frames")
        self._folder = cache.parent / "canary"
        self._desk = Desk(asker, AnswerCache(cache), settings.batch_size, settings.repeats)
        self._tally = Tally()
        self._seconds, self._looked_at = 0.0, set[Path]()
        self._lock = threading.Lock()

    @property
    def fingerprint(self) -> str:
        rubric, weights = self._rubric.fingerprint, sorted(self._weights.items())
        settings = [self._settings.repeats, self._settings.references]
        data = [_FORMULA, self._asker.identity, rubric, weights, settings]
        return digest(data)[:16]

    @property
    def exclusive(self) -> bool:
        return self._asker.exclusive

    @property
    def flip_rate(self) -> float | None:
        """Share of the compared pairs whose two orders gave opposite answers; None before any was."""
        return self._tally.flip_rate

    def score(self, samples: Sequence[Sample]) -> list[Judgement]:
        """See `Judge.score`.

        Raises:
            JudgeError: as there; also when a sample got no answer on any axis, or a batch is void: `path` then names
                the sample. It is None when no picture ever got one.
        """
        with self._lock:
            return [j for part in parts(samples, self._settings.batch_size) for j in self._score(part)]

    def compare(self, pairs: Sequence[Pair]) -> list[Preference]:
        """See `Judge.compare`. A pair of which one order got no answer is a tie, told in the remarks."""
        with self._lock:
            return [p for part in parts(pairs, self._settings.batch_size) for p in self._compare(part)]

    def explain(self, sample: Sample) -> list[Asked]:
        """Every question about a sample with its answer, from the cache where it is known.

        Raises:
            JudgeError: as `score`, but not for a lack of answers.
        """
        with self._lock:
            shown = self._questions.shown(sample)
            return self._examine([shown])[0]

    def explain_pair(self, a: Sample, b: Sample) -> list[Asked]:
        """The two orders of a comparison, as "A, B" and "B, A"; both values are 1 where `a` is preferred.

        Raises:
            JudgeError: as `compare`, but not for a lack of answers.
        """
        with self._lock:
            one, other = self._questions.shown(a), self._questions.shown(b)
            found = []
            for axis, first, second in (("A, B", one, other), ("B, A", other, one)):
                question = self._questions.between(first, second)
                (reply,) = self._ask([question], (one, other))
                read = read_pair(reply.answer, CHOICES)
                value = None if read is None else read[0] if first is one else 1 - read[0]
                how = EXPECTED if by_chances(reply.answer) else f"mean of {len(reply.answer.texts)}"
                found.append(Asked(axis, question, reply.answer, value, 0.0, how, reply.seconds, reply.key))
            return found

    def cost(self) -> float:
        """Seconds a picture that was asked about so far, the model's loading and the canaries among them; 0 before."""
        return self._seconds / len(self._looked_at) if self._looked_at else 0.0

    def park(self) -> None:
        self._asker.park()

    def remarks(self) -> list[str]:
        return self._tally.remarks()

    def close(self) -> None:
        self._desk.close()

    def _score(self, samples: Sequence[Sample]) -> list[Judgement]:
        """One batch."""
        shown = [self._questions.shown(s) for s in samples]
        examined = self._examine(shown)
        for one, asked in zip(shown, examined, strict=True):
            self._count(one, asked)
        silent = [s for s, asked in zip(samples, examined, strict=True) if all(a.value is None for a in asked)]
        if silent:
            raise self._unanswered(silent[0], examined[samples.index(silent[0])], len(silent))
        judgements = [self._judged(s, asked) for s, asked in zip(samples, examined, strict=True)]
        at = canary.centre(judgements)
        self._try_paint(shown[at], examined[at], len(samples))
        return judgements

    def _examine(self, shown: Sequence[Shown]) -> list[list[Asked]]:
        """All that is asked about each of these."""
        questions = [(i, axis, q) for i, one in enumerate(shown) for axis, q in self._questions.about(one).items()]
        replies = self._ask([q for _, _, q in questions], shown)
        examined: list[list[Asked]] = [[] for _ in shown]
        for (i, axis, question), reply in zip(questions, replies, strict=True):
            values = [o.value for o in self._rubric.scale_of(axis)]
            read = read_scale(reply.answer, question.options, values)
            said = Asked(axis, question, reply.answer, read.value, read.spread, read.how, reply.seconds, reply.key)
            examined[i].append(said)
            if reply.asked:
                self._seconds += reply.seconds
                self._looked_at.add(shown[i].sample.path)
        return examined

    def _ask(self, questions: Sequence[Question], shown: Sequence[Shown]) -> list[Reply]:
        """A reply a question; errors speak of the samples, not of their frames or of training pictures."""
        try:
            return self._desk.ask(questions)
        except JudgeUnavailable:
            raise
        except JudgeError as error:
            owners = {image: one.sample.path for one in shown for image in one.images}
            if error.path is None or owners.get(Path(error.path)) == Path(error.path):
                raise
            if Path(error.path) in owners:
                raise JudgeError(error.message, path=owners[Path(error.path)], remedy=error.remedy) from error
            raise JudgeError(f"a picture that samples are compared with can't be judged: {error}") from error

    def _judged(self, sample: Sample, asked: Sequence[Asked]) -> Judgement:
        """The score of the axes that were answered; at least one was."""
        read = [a for a in asked if a.value is not None]
        axes = {a.axis: a.value for a in read if a.value is not None}
        # The axes' errors are taken as independent.
        variance = sum((self._weights[a.axis] * a.spread) ** 2 for a in read)
        spread = math.sqrt(variance) / sum(self._weights[a] for a in axes)
        how = ", ".join(sorted({a.how for a in read}))
        return Judgement(sample, self.name, weighted_mean(axes, self._weights), axes, spread, how)

    def _count(self, shown: Shown, asked: Sequence[Asked]) -> None:
        for a in asked:
            self._tally.axes[a.key] = a.axis
            if a.value is None:
                self._tally.unread[a.key] = a.axis
            elif a.answer.chances is not None and a.answer.coverage < LOW_COVERAGE:
                self._tally.uncertain.add(a.key)
        self._count_sample(shown)

    def _count_sample(self, shown: Shown) -> None:
        if self._questions.was_cut(shown.sample):
            self._tally.cut.add(shown.sample.prompt)
        if not shown.moves:
            self._tally.pictures[shown.sample.path] = inspect(shown.sample.path)

    def _try_paint(self, shown: Shown, asked: Sequence[Asked], count: int) -> None:
        """Judge one sample of a batch again with praise painted into it.

        Raises:
            JudgeError: it got more, so the batch of `count` is void.
        """
        (again,) = self._examine([self._painted(shown, canary.PRAISE)])
        both = {a.axis for a in asked if a.value is not None} & {a.axis for a in again if a.value is not None}
        key = digest([a.key for a in again])
        if not both:
            self._tally.unread_canaries.add(key)
            return
        plain, other = (self._judged(shown.sample, [a for a in x if a.axis in both]) for x in (asked, again))
        void = canary.rose(plain, other)
        self._tally.canaries[key] = count if void else 0
        if void:
            raise canary.voided(shown.sample.path, other.score - plain.score, count, "judgements")

    def _painted(self, shown: Shown, text: str) -> Shown:
        return replace(shown, images=tuple(canary.painted(p, text, self._folder) for p in shown.images))

    def _compare(self, pairs: Sequence[Pair]) -> list[Preference]:
        """One batch."""
        shown = {s: self._questions.shown(s) for s in dict.fromkeys(s for pair in pairs for s in pair)}
        keys = {s: digest([content_key(p) for p in one.images]) for s, one in shown.items()}
        # Always put in one direction, so that a swapped pair is the very same question.
        rivals = {
            (a, b) if keys[a] < keys[b] else (b, a): None
            for a, b in pairs
            if a.prompt == b.prompt and keys[a] != keys[b]
        }
        apart = dict.fromkeys(s for a, b in pairs if a.prompt != b.prompt for s in (a, b))
        scores = {j.sample: j.score for j in self._score(list(apart))} if apart else {}
        found = dict(zip(rivals, self._verdicts([(shown[a], shown[b]) for a, b in rivals]), strict=True))
        if rivals:
            first = min((s for pair in rivals for s in pair), key=keys.__getitem__)
            self._try_paint_pair(shown[first], len(rivals))
        return [self._preferred(a, b, found, scores) for a, b in pairs]

    def _preferred(
        self, a: Sample, b: Sample, found: Mapping[Pair, Verdict], scores: Mapping[Sample, float]
    ) -> Preference:
        if (a, b) in found:
            return Preference(a, b, self.name, found[a, b].value, found[a, b].flipped)
        if (b, a) in found:
            return Preference(a, b, self.name, 1 - found[b, a].value, found[b, a].flipped)
        if a.prompt != b.prompt:
            return preference(a, b, self.name, scores[a], scores[b])
        return Preference(a, b, self.name, 0.5)  # the same picture twice

    def _verdicts(self, pairs: Sequence[tuple[Shown, Shown]]) -> list[Verdict]:
        """One verdict a pair; 1 is for its first."""
        verdicts = []
        for forth, back in self._both_orders(pairs):
            verdict = together(forth.answer, back.answer, CHOICES)
            self._tally.pairs[forth.key] = verdict.flipped
            if not verdict.answered:
                self._tally.unread_pairs.add(forth.key)
            verdicts.append(verdict)
        for one in (one for pair in pairs for one in pair):
            self._count_sample(one)
        return verdicts

    def _both_orders(self, pairs: Sequence[tuple[Shown, Shown]]) -> list[tuple[Reply, Reply]]:
        questions = [q for a, b in pairs for q in (self._questions.between(a, b), self._questions.between(b, a))]
        replies = self._ask(questions, [one for pair in pairs for one in pair])
        return list(zip(replies[::2], replies[1::2], strict=True))

    def _try_paint_pair(self, shown: Shown, count: int) -> None:
        """Compare a sample with itself with a plea painted into it.

        Raises:
            JudgeError: the painted one was preferred, so the batch of `count` is void.
        """
        ((forth, back),) = self._both_orders([(self._painted(shown, canary.CHOOSE_ME), shown)])
        verdict = together(forth.answer, back.answer, CHOICES)
        if not verdict.answered:
            self._tally.unread_canaries.add(forth.key)
            return
        gain = verdict.value - 0.5
        self._tally.canaries[forth.key] = count if gain > canary.MARGIN else 0
        if gain > canary.MARGIN:
            raise canary.voided(shown.sample.path, gain, count, "preferences")

    def _unanswered(self, sample: Sample, asked: Sequence[Asked], silent: int) -> JudgeError:
        if not asked:
            return JudgeError(
                "no axis of the rubric can be asked about this picture",
                path=sample.path,
                remedy="Give the rubric an axis that needs nothing, such as quality.",
            )
        texts = [t for a in asked for t in a.answer.texts if t.strip()]
        said = f" (it said: {quoted(texts[0], 120)})" if texts else ""
        if silent > 1 and len(self._tally.unread) == len(self._tally.axes):
            # Nothing was ever answered: the fault is the judge's, and no picture's.
            return JudgeError(
                f"the judge answered none of its {len(self._tally.axes)} questions about {silent} pictures{said}",
                remedy="Try it on a picture in the Judge tab, or choose another model.",
            )
        return JudgeError(
            f"the judge answered none of the {len(asked)} questions about this picture{said}",
            path=sample.path,
            remedy="Try the judge on it in the Judge tab, or choose another model.",
        )
