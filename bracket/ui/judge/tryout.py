"""One judge on two pictures, in a thread of its own: what it was asked, what it answered, and how long that took."""

from __future__ import annotations

import contextlib
import itertools
import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bracket.domain import DatasetSplit, Judgement, Preference, Sample
from bracket.errors import BracketError, JudgeError
from bracket.report.words import duration, judged, percent
from bracket.session.asked.settings import JudgeSettings
from bracket.ui.form.judge import KINDS
from bracket.ui.shared.context import said
from bracket.ui.shared.format import esc, sentence

if TYPE_CHECKING:
    from bracket.judges.vlm.judge import Asked

Result = TypeVar("Result")
_log = logging.getLogger(__name__)
NOWHERE = Path()
"""Folder of a dataset that nobody named."""


@dataclass(frozen=True)
class Look:
    """What a judge made of two pictures.

    Attributes:
        judge: its kind and model, in words.
        scores: of the first and the second, each judged alone: two pictures are no batch whose variety counts. None
            when it could not make a score of what it was answered; `remarks` then say why.
        asked: the questions about each with their answers; empty for a judge that asks none.
        first: seconds until the first picture was judged, the model's loading among them.
        each: seconds a picture once the model is there; `compare`: seconds to compare the two.
    """

    judge: str
    scores: tuple[Judgement, Judgement] | None
    asked: tuple[Sequence[Asked], Sequence[Asked]]
    preferred: Preference | None
    first: float
    each: float
    compare: float
    remarks: Sequence[str]


class Tryout:
    """A judge at work in a thread, so that the page stays alive while a model loads.

    Attributes:
        doing: what it does now.
        look: what came of it, None before its end or when it failed.
        error: why it failed, as HTML; "" otherwise.
    """

    def __init__(
        self, settings: JudgeSettings, rubric: str, dataset: DatasetSplit, pair: tuple[Sample, Sample]
    ) -> None:
        self.doing, self.error = "Loading the model", ""
        self.look: Look | None = None
        self.began = time.monotonic()
        self._asked = (settings, rubric, dataset, pair)
        # A daemon: a model that loads must not keep the app from ending.
        self._thread = threading.Thread(target=self._run, name="judge-tryout", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        settings, rubric, dataset, pair = self._asked
        try:
            with tempfile.TemporaryDirectory(prefix="bracket-judge-") as folder:
                if rubric:
                    file = Path(folder) / "rubric.yaml"
                    file.write_text(rubric, encoding="utf-8")
                    settings = settings.model_copy(update={"rubric": str(file)})
                self.look = self._looked(settings, dataset, pair, Path(folder))
        except BracketError as error:
            self.error = said(error)
        except Exception as error:  # noqa: BLE001 - the thread's edge: the page must hear of it
            _log.exception("the test of a judge broke")
            self.error = esc(f"{type(error).__name__}: {error}")

    def _looked(
        self, settings: JudgeSettings, dataset: DatasetSplit, pair: tuple[Sample, Sample], folder: Path
    ) -> Look:
        # An empty cache: what a session already knows would say nothing of this judge's speed.
        with _made(settings, dataset, folder / "judge.sqlite") as judge:
            ask = getattr(judge, "explain", None)
            clock = [time.perf_counter()]
            one = ask(pair[0]) if ask else judge.score(pair[:1])
            clock.append(time.perf_counter())
            self.doing = "Looking at the second picture"
            two = ask(pair[1]) if ask else judge.score(pair[1:])
            clock.append(time.perf_counter())
            self.doing = "Comparing the two"
            # Questions and answers are worth showing above all where no score comes of them.
            wrong: list[str] = []
            preferred = _tried(lambda: judge.compare([pair])[0], wrong if ask else None)
            clock.append(time.perf_counter())
            scores = None if ask else (one[0], two[0])
            if ask:
                self.doing = "Looking for text in a picture that would sway it"
                scores = _tried(lambda: (judge.score(pair[:1])[0], judge.score(pair[1:])[0]), wrong)
            first, each, compare = (after - before for before, after in itertools.pairwise(clock))
            asked = (one, two) if ask else ((), ())
            remarks = [*wrong, *judge.remarks()]
            return Look(named(settings), scores, asked, preferred, first, each, compare, remarks)


def _tried(attempt: Callable[[], Result], wrong: list[str] | None) -> Result | None:
    """What the attempt gives; None when it fails and there is a list to say so in."""
    try:
        return attempt()
    except JudgeError as error:
        if wrong is None:
            raise
        if str(error) not in wrong:
            wrong.append(str(error))
        return None


@contextlib.contextmanager
def _made(settings: JudgeSettings, dataset: DatasetSplit, cache: Path) -> Iterator[Any]:
    from bracket.judges import make_judge

    try:
        judge = make_judge(settings, dataset, cache)
    except JudgeError as error:
        if error.path != NOWHERE:
            raise
        remedy = "Name the folder of pictures in Setup, or open a session."
        raise JudgeError(f"this judge compares with training pictures: {error.message}", remedy=remedy) from error
    with contextlib.closing(judge):
        yield judge


def named(settings: JudgeSettings) -> str:
    """A judge as a reader knows it: its kind, and its model by the name of its folder or id."""
    model = settings.model.strip()
    return " · ".join(filter(None, [KINDS.get(settings.kind, settings.kind), Path(model).name if model else ""]))


def tryout_html(now: Tryout) -> str:
    """Where a test is, or what came of it."""
    if now.error:
        return f'<p class="message error">{now.error}</p>'
    if now.look is None:
        return f'<p class="working">{esc(now.doing)}… {duration(time.monotonic() - now.began)}</p>'
    return look_html(now.look)


def look_html(look: Look) -> str:
    """Scores by axis side by side, which it prefers, the seconds, and every question with its answers."""
    facts = [f"{_seconds(look.each)} a picture", f"{_seconds(look.first)} for the first, loading included"]
    facts.append(f"{_seconds(look.compare)} to compare")
    remarks = "".join(f"<li>{esc(sentence(r))}</li>" for r in look.remarks)
    choice = choice_words(look.preferred) if look.preferred else "It could not compare them."
    return (
        f'<p class="quiet">{esc(look.judge)}</p><p class="choice">{esc(choice)}</p>'
        f'{scores_html(*look.scores) if look.scores else ""}<p class="facts">{" · ".join(facts)}</p>'
        + (f'<ul class="remarks">{remarks}</ul>' if remarks else "")
        + "".join(asked_html(one, two) for one, two in zip(*look.asked, strict=False))
    )


def scores_html(a: Judgement, b: Judgement) -> str:
    """The two scores and their axes as bars side by side."""
    axes = list(dict.fromkeys([*a.axes, *b.axes]))
    rows = _row("judged", (a.score, b.score), (a.spread, b.spread), "whole")
    rows += "".join(_row(n, (a.axes.get(n), b.axes.get(n)), (0.0, 0.0)) for n in axes)
    how = f'<p class="quiet">Judged: {esc(a.how)}.</p>' if a.how else ""
    head = "<thead><tr><td></td><th>Left</th><th>Right</th></tr></thead>"
    return f'<table class="axes">{head}<tbody>{rows}</tbody></table>{how}'


def choice_words(preferred: Preference) -> str:
    """Which of the two it prefers when it sees both, and whether their order mattered."""
    if preferred.flipped:
        return "A tie: shown in the other order, it chose the other picture."
    if preferred.value == 0.5:
        return "A tie in both orders."
    sure = max(preferred.value, 1 - preferred.value)
    side = "left" if preferred.value > 0.5 else "right"
    return f"It prefers the {side} picture in both orders" + (f", {percent(sure)} sure." if sure < 0.995 else ".")


def asked_html(one: Asked, two: Asked) -> str:
    """A question in full with the answers for both pictures: a bar an option, or what was written."""
    options = one.question.options
    if one.answer.chances is None and two.answer.chances is None:
        answers = "".join(
            f"<tr><th>{side}</th><td>{esc(', '.join(asked.answer.texts)) or 'no answer'}</td></tr>"
            for side, asked in (("Left", one), ("Right", two))
        )
    else:
        answers = "<tr><td></td><th>Left</th><th>Right</th></tr>" + "".join(
            f"<tr><th>{esc(o)}</th><td>{_bar(_chance(one, o))}</td><td>{_bar(_chance(two, o))}</td></tr>"
            for o in options
        )
    values = " and ".join(judged(v) if v is not None else "no answer" for v in (one.value, two.value))
    system = f'<p class="quiet">{esc(one.question.system)}</p>' if one.question.system else ""
    return (
        f"<details><summary>{esc(one.axis)} <span>{values} · {esc(one.how or two.how)}</span></summary>"
        f'{system}<p class="question">{esc(one.question.text)}</p>'
        f'<table class="answers"><tbody>{answers}</tbody></table></details>'
    )


def _row(name: str, values: tuple[float | None, float | None], spreads: tuple[float, float], tone: str = "") -> str:
    cells = "".join(f"<td>{_bar(v, s)}</td>" for v, s in zip(values, spreads, strict=True))
    return f'<tr class="{tone}"><th scope="row">{esc(name)}</th>{cells}</tr>'


def _bar(value: float | None, spread: float = 0.0) -> str:
    if value is None:
        return '<span class="none">–</span>'
    more = f" ± {judged(spread)}" if spread else ""
    return f'<span class="level"><i style="width:{100 * value:.1f}%"></i></span><b>{judged(value)}{more}</b>'


def _chance(asked: Asked, option: str) -> float | None:
    chances: Mapping[str, float] | None = asked.answer.chances
    return None if chances is None else chances.get(option, 0.0)


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
