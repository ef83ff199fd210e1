"""Your own eyes: a blind vote between the winner's and the baseline's pictures, told of only once it is over."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from bracket.dataset.reading.media import VIDEO_SUFFIXES
from bracket.domain import Judgement, Preference, Round, Sample
from bracket.errors import JudgeError
from bracket.judges.people.human import aligned, preferences_from_scores
from bracket.judges.people.votes import Shown, VoteBook, matching_pairs, read_votes
from bracket.report.words import counted, percent
from bracket.session.asked.settings import load
from bracket.session.duel.course import arm_judgements
from bracket.session.view import SessionView, TrialView, drawn
from bracket.stats.people.agreement import FEWEST, agreement, clopper_pearson, gate
from bracket.ui.shared import gallery
from bracket.ui.shared.context import TROUBLE, Context, said
from bracket.ui.shared.format import esc, sentence
from bracket.ui.shared.outcome import duel_of
from bracket.ui.shared.theme import script

_FRAME = """
<div class="vote">
  <h2>Your own eyes</h2>
  <div class="closed"><p class="words"></p><div class="told"></div><button class="begin" type="button"></button></div>
  <div class="booth" hidden>
    <div class="top">
      <p class="prompt"></p><span class="count"></span><button class="stop" type="button">Stop</button>
    </div>
    <div class="two"><figure class="left"></figure><figure class="right"></figure></div>
    <div class="choices">
      <button class="choose-left" type="button"><kbd>←</kbd> Left is better</button>
      <button class="tie" type="button"><kbd>↓</kbd> No difference</button>
      <button class="choose-right" type="button">Right is better <kbd>→</kbd></button>
      <button class="undo" type="button"><kbd>u</kbd> Undo</button>
    </div>
    <p class="note" role="status"></p>
  </div>
</div>
"""


def build(context: Context) -> gr.HTML:
    """The part of Results; its value is that of `value_of`."""
    booth = Booth(context)

    # Functions, for Gradio marks what it may call, and a bound method can't be marked.
    def ballot(asked: Mapping[str, Any]) -> dict[str, Any]:
        return booth.ballot(asked)

    def say(asked: Mapping[str, Any]) -> dict[str, Any]:
        return booth.say(asked)

    def take_back(asked: Mapping[str, Any]) -> dict[str, Any]:
        return booth.take_back(asked)

    def told(asked: Mapping[str, Any]) -> str:
        return booth.told(asked)

    return gr.HTML(
        value=value_of(None),
        html_template=_FRAME,
        js_on_load=script("views/booth.js"),
        server_functions=[ballot, say, take_back, told],
        elem_id="vote",
        apply_default_css=False,
    )


def value_of(view: SessionView | None) -> dict[str, Any]:
    """The part's value: the session, and what changes when there may be other pairs."""
    return {"session": view.name if view else "", "phase": view.phase if view else ""}


@dataclass(frozen=True)
class Arms:
    """What is voted on: two names (the winner's first) with their pictures, and what was judged of them."""

    names: tuple[str, str]
    samples: tuple[Sequence[Sample], Sequence[Sample]]
    folders: tuple[tuple[Path, ...], tuple[Path, ...]]
    """Folders whose `judgements.jsonl` speak of the samples."""

    @property
    def by_name(self) -> dict[str, Sequence[Sample]]:
        return dict(zip(self.names, self.samples, strict=True))


def arms_of(view: SessionView) -> Arms | str:
    """The duel's fresh pictures; before them, the finals' best against the baseline; or why there are none."""
    duel = duel_of(view)
    if duel is None:
        return "A vote needs the finals: it is held between their best settings and the baseline."
    if duel.same:
        return "The baseline itself won, so there is nothing to compare it with."
    places = [view.folder / "confirm" / name for name in ("winner", "baseline")]
    fresh = [drawn(view.folder, f"confirm/{p.name}") for p in places]
    if all(fresh):
        return Arms(("winner", "baseline"), (fresh[0], fresh[1]), ((places[0],), (places[1],)))
    finals = [t for t in view.trials if t.round is Round.FINALS and t.score is not None]
    groups = [[t for t in finals if t.config == arm.config] for arm in (duel.winner, duel.baseline)]
    seeds = {t.seed for t in groups[0]} & {t.seed for t in groups[1]}
    both = [sorted((t for t in group if t.seed in seeds), key=lambda t: t.seed) for group in groups]
    newest = [[s for t in group for s in gallery.newest(t.samples).values()] for group in both]
    if not all(newest):
        return "The pictures of the finals' best and of the baseline are gone, so there is nothing to vote on."
    folders = [tuple(t.folder for t in group) for group in both]
    return Arms(("best of the finals", "baseline"), (newest[0], newest[1]), (folders[0], folders[1]))


def pairs_of(view: SessionView) -> list[tuple[Sample, Sample]]:
    """The pairs of a session, to try a judge on; [] when there are none. Sides alternate, so that none tells."""
    arms = arms_of(view)
    found = [] if isinstance(arms, str) else matching_pairs(arms.by_name)
    return [(b, a) if i % 2 else (a, b) for i, (a, b) in enumerate(found)]


def voted(view: SessionView) -> bool:
    """Whether a person has cast the votes that are asked for, or none can be; what was voted on may then be shown."""
    arms = arms_of(view)
    if isinstance(arms, str):
        return True
    total = len(matching_pairs(arms.by_name))
    return len(read_votes(view.folder, strict=False)) >= min(FEWEST, total)


def sealed(view: SessionView, trials: Iterable[TrialView]) -> bool:
    """Whether some of these trials are the duel's and a person is still to vote: their pictures stay folded."""
    return any(t.round is Round.CONFIRMATION and t.samples for t in trials) and not voted(view)


class Booth:
    """What a page asks of the server. A page knows a pair by a token, for paths would tell whose pictures they are."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._books: dict[str, tuple[tuple[Path, ...], VoteBook]] = {}
        self._shown: dict[str, Shown] = {}
        self._salt = secrets.token_bytes(16)
        self._lock = threading.Lock()

    def ballot(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """How far the vote of a session is, and so many pairs (`want`) to begin with."""
        try:
            # A page that begins may get any pair; one that goes on gets those it has not got yet.
            self._books.pop(str(asked["session"]), None)
            book = self._book(str(asked["session"]))
            return {"words": book} if isinstance(book, str) else self._state(book, int(asked["want"]))
        except TROUBLE as error:
            return {"words": sentence(str(error))}

    def say(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Keep a vote (`value` 1: left, 0: right, 0.5: neither) on the pair with this `token`."""
        try:
            book = self._book(str(asked["session"]))
            shown = self._shown.get(str(asked["token"]))
            if isinstance(book, str) or shown is None:
                raise JudgeError("this pair is not one to vote on here", remedy="Reload the page.")
            book.record(shown, float(asked["value"]))
            return self._state(book, int(asked["want"]))
        except TROUBLE as error:
            return {"error": sentence(str(error))}

    def take_back(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Undo the last vote; its pair comes first."""
        try:
            book = self._book(str(asked["session"]))
            if isinstance(book, str):
                return {"words": book}
            shown = book.undo()
            return {**self._state(book, 0), "pairs": [self._packed(shown)] if shown else []}
        except TROUBLE as error:
            return {"error": sentence(str(error))}

    def told(self, asked: Mapping[str, Any]) -> str:
        """What the votes say so far, as HTML."""
        try:
            return told_of(self._context.read(str(asked["session"])))
        except TROUBLE as error:
            return f'<p class="message error">{said(error)}</p>'

    def _book(self, name: str) -> VoteBook | str:
        """The session's book, made anew when there is more to vote on; or why there is none."""
        view = self._context.read(name)
        arms = arms_of(view)
        if isinstance(arms, str):
            return arms
        paths = tuple(s.path for samples in arms.samples for s in samples)
        with self._lock:
            if name not in self._books or self._books[name][0] != paths:
                self._books[name] = (paths, VoteBook(view.folder, arms.by_name, load(view.folder, to_read=True).seed))
            return self._books[name][1]

    def _state(self, book: VoteBook, want: int) -> dict[str, Any]:
        progress = book.progress()
        total = progress.total - progress.missing
        found = [book.next_pair() for _ in range(min(want, total - progress.voted))]
        # Once all were given out, the book begins again with those without a vote.
        packed = [self._packed(shown) for shown in dict.fromkeys(found) if shown]
        return {"voted": progress.voted, "total": total, "aim": min(FEWEST, total), "pairs": packed}

    def _packed(self, shown: Shown) -> dict[str, Any]:
        text = "\0".join(map(str, sorted(shown.key)))
        token = hashlib.sha256(self._salt + text.encode()).hexdigest()[:16]
        self._shown[token] = shown
        return {"token": token, "prompt": shown.prompt, "left": _content(shown.left), "right": _content(shown.right)}


def told_of(view: SessionView) -> str:
    """What the votes on a session's pairs say, as HTML; "" without votes."""
    arms = arms_of(view)
    if isinstance(arms, str) or not read_votes(view.folder, strict=False):
        return ""
    return told_html(arms, VoteBook(view.folder, arms.by_name).preferences())


def told_html(arms: Arms, votes: Sequence[Preference]) -> str:
    """The winner's share with its interval, and how far the judge agrees."""
    if not votes:
        return ""
    won, lost = (sum(v.value == value for v in votes) for value in (1.0, 0.0))
    ties = len(votes) - won - lost
    share = (won + ties / 2) / len(votes)
    low, high = clopper_pearson(won + ties / 2, len(votes))
    tied = f", {ties} no difference" if ties else ""
    lines = [
        f"<b>{percent(share)}</b> for the {esc(arms.names[0])} (95 % interval {percent(low)} to {percent(high)}): "
        f"{counted(won, 'vote')} for it, {lost} for the {esc(arms.names[1])}{tied}."
    ]
    judgements = [j for folders in arms.folders for folder in folders for j in _judgements(folder)]
    both = aligned(preferences_from_scores(judgements, [(v.a, v.b) for v in votes]), votes)
    if not both.votes:
        lines.append("The judge has not scored these pictures yet, so there is nothing to hold against it.")
    else:
        found = agreement(both.judged_where_voted, both.votes)
        if found.rate is not None and found.low is not None and found.high is not None:
            lines.append(
                f"The judge agrees with you in {percent(found.rate)} of {counted(found.votes, 'vote')} "
                f"(95 % interval {percent(found.low)} to {percent(found.high)})."
            )
        lines.append(esc(sentence(gate(found).reason)) + ".")
    return "".join(f"<p>{line}</p>" for line in lines)


def _judgements(folder: Path) -> list[Judgement]:
    return list(arm_judgements(folder))


def _content(path: Path) -> dict[str, Any]:
    """A picture or clip as it lies on the disk, without its name."""
    kind = mimetypes.guess_type(path.name)[0] or "image/png"
    data = base64.b64encode(path.read_bytes()).decode()
    return {"src": f"data:{kind};base64,{data}", "clip": path.suffix.lower() in VIDEO_SUFFIXES}
