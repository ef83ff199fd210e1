"""Monitor: is it going well? The tournament, its loss curves, its pictures, and the log as it is written."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from bracket.errors import BracketError
from bracket.runner.tail import LogTail
from bracket.session.view import SessionView, TrialView
from bracket.ui import bracket_view, gallery, vote
from bracket.ui.chart import chart
from bracket.ui.context import Context
from bracket.ui.format import (
    empty_html,
    esc,
    log_path_html,
    progress_words,
    reason,
    sentence,
    state_words,
    trial_state,
)
from bracket.ui.outcome import MOST_ROWS, sealed_html

NEWEST = ""
"""The trial picker's value for "whichever began last"."""
SESSION_LOG, TRIAL_LOG = "session", "trial"
LINES, LONGEST = 400, 2_000
"""Lines of log that the page holds."""
_PAUSE = 0.4
"""Seconds between two looks at the log: a few updates a second at most."""
_HEARTBEAT = 5.0
"""A stream must say something this often, or it would not notice that its page is gone."""
EMPTY = "No session yet. Start the demo, or choose a folder."


@dataclass(frozen=True)
class Monitor:
    """The tab's parts."""

    message: gr.HTML
    duel: gr.HTML
    cards: gr.HTML
    chart: gr.HTML
    trial: gr.Dropdown
    samples: gr.HTML
    log: gr.Textbox
    log_path: gr.HTML


@dataclass
class Watch:
    """What one page's log stream shows. `hold` keeps the text as it is."""

    session: str = ""
    trial: str = NEWEST
    source: str = SESSION_LOG
    find: str = ""
    hold: bool = False


class Watches:
    """Every open page's wish, by its session hash: the stream reads it, the page's events change it."""

    def __init__(self) -> None:
        self._by_page: dict[str, Watch] = {}

    def of(self, page: str) -> Watch:
        return self._by_page.setdefault(page, Watch())

    def forget(self, page: str) -> None:
        self._by_page.pop(page, None)


def build(context: Context, session: gr.Dropdown) -> tuple[Monitor, Watches]:
    """The tab. Its HTML is filled by the page's timer; the log streams by itself."""
    watches = Watches()
    message = gr.HTML(apply_default_css=False, elem_id="message")
    duel = gr.HTML(apply_default_css=False, elem_id="duel")
    cards = bracket_view.build(context, "cards", sparks=True)
    curves = chart(context.read, "loss", "No loss yet. Curves appear with the first trial's first steps.", sparks=True)
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=420):
            with gr.Row(elem_classes="bar"):
                gr.HTML("<h2>Samples</h2>", apply_default_css=False)
                trial = gr.Dropdown(
                    [("Newest trial", NEWEST)],
                    value=NEWEST,
                    show_label=False,
                    container=False,
                    elem_id="trial",
                    min_width=220,
                    scale=0,
                )
            samples = gr.HTML(apply_default_css=False, elem_id="samples")
        with gr.Column(scale=2, min_width=380):
            with gr.Row(elem_classes="bar", elem_id="log-bar"):
                gr.HTML("<h2>Log</h2>", apply_default_css=False)
                source = gr.Radio(
                    [("session", SESSION_LOG), ("trial", TRIAL_LOG)],
                    value=SESSION_LOG,
                    show_label=False,
                    container=False,
                    elem_id="log-source",
                    min_width=120,
                    scale=0,
                )
                find = gr.Textbox(
                    placeholder="Only lines with…",
                    show_label=False,
                    container=False,
                    max_lines=1,
                    elem_id="log-find",
                    min_width=110,
                )
                follow = gr.Button("Hold", size="sm", elem_id="log-follow", min_width=70, scale=0)
            log = gr.Textbox(
                lines=18,
                max_lines=18,
                show_label=False,
                container=False,
                interactive=False,
                buttons=["copy"],
                elem_id="log",
                elem_classes="mono",
                placeholder="Nothing was logged yet.",
                autoscroll=False,
            )
            log_path = gr.HTML(apply_default_css=False, elem_id="log-path")
    made = Monitor(message, duel, cards, curves, trial, samples, log, log_path)
    _wire(made, watches, session, source, find, follow)
    return made, watches


def _wire(
    m: Monitor, watches: Watches, session: gr.Dropdown, source: gr.Radio, find: gr.Textbox, follow: gr.Button
) -> None:
    def wish(name: str | None, trial: str | None, source: str, find: str, request: gr.Request) -> None:
        watch = watches.of(str(request.session_hash))
        watch.session, watch.trial, watch.source, watch.find = name or "", trial or NEWEST, source, find or ""

    def turn(request: gr.Request) -> Any:
        watch = watches.of(str(request.session_hash))
        watch.hold = not watch.hold
        return gr.update(value="Follow" if watch.hold else "Hold")

    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
    wishes = [session, m.trial, source, find]
    gr.on([x.change for x in wishes], wish, wishes, None, **private)
    follow.click(turn, None, follow, **private)


async def stream(context: Context, watches: Watches, page: str) -> AsyncIterator[tuple[Any, Any]]:
    """The log's last lines and its path, whenever they change, for as long as the page is there.

    Only files are read here: what runs, runs elsewhere and does not notice when a page comes or goes.
    """
    tail, shown, lines, silent = LogTail(Path()), "", deque[str](maxlen=LINES), 0.0
    try:
        while True:
            watch = watches.of(page)
            path = log_file(context, watch)
            if path != tail.path and not watch.hold:
                tail, lines = LogTail(path or Path()), deque[str](maxlen=LINES)
            if not watch.hold:
                lines.extend(shortened(line) for line in tail.read_new().splitlines())
            text = visible(lines, shortened(tail.current), watch.find)
            silent += _PAUSE
            if text != shown and not watch.hold:
                shown, silent = text, 0.0
                yield text, log_path_html(path)
            elif silent >= _HEARTBEAT:
                silent = 0.0
                yield gr.skip(), gr.skip()
            await asyncio.sleep(_PAUSE)
    finally:
        watches.forget(page)


def shortened(line: str) -> str:
    """A line as the page shows it: a log without line ends must not drown it."""
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} … ({len(line) - LONGEST:,} more characters)"


def visible(lines: deque[str], current: str, find: str) -> str:
    """The held lines and the unfinished last one, of those that hold `find` in any case."""
    every = [*lines, current] if current else list(lines)
    wanted = find.strip().casefold()
    return "\n".join(line for line in every if wanted in line.casefold())


def log_file(context: Context, watch: Watch) -> Path | None:
    """The file that a page wants to see, None while there is none."""
    try:
        view = context.read(watch.session) if watch.session else None
    except BracketError:
        return None
    if view is None:
        return None
    chosen = chosen_trial(view, watch.trial)
    if watch.source == TRIAL_LOG and chosen is not None:
        return chosen.folder / "logs" / "trainer.log"
    return view.folder / "session.log"


def chosen_trial(view: SessionView, wanted: str, *, drawn: bool = False) -> TrialView | None:
    """The trial called `wanted`, or for NEWEST the last that began (with `drawn`: and has pictures, if any has)."""
    if wanted:
        return next((t for t in view.trials if t.id == wanted), None)
    begun = [t for t in view.trials if t.state != "waiting"] or list(view.trials)
    with_pictures = [t for t in begun if t.samples] if drawn else []
    return next(iter([*reversed(with_pictures), *reversed(begun)]), None)


def trial_choices(view: SessionView, chosen: str = NEWEST) -> list[tuple[str, str]]:
    """The trial picker's entries, the newest first; of very many only the newest, and the one that is chosen."""
    older = [t for t in view.trials[:-MOST_ROWS] if t.id == chosen]
    newest = [*reversed(view.trials[-MOST_ROWS:]), *older]
    return [("Newest trial", NEWEST), *((f"{t.id} · {t.label}", t.id) for t in newest)]


def message_html(view: SessionView | None) -> str:
    """What the session does, how far it is, or what went wrong and what to do."""
    if view is None:
        return empty_html(EMPTY)
    state = state_words(view)
    more = sentence(view.message).removeprefix(f"{state}.").strip()
    if more in ("", state):
        more = progress_words(view)
    tone = " error" if view.state == "failed" else ""
    return f'<p class="message{tone}"><b>{esc(state)}.</b> {esc(more)}</p>'


def samples_html(view: SessionView | None, wanted: str) -> str:
    """The chosen trial's pictures: rows of steps × columns of prompts."""
    chosen = chosen_trial(view, wanted, drawn=True) if view is not None else None
    if view is None or chosen is None:
        return empty_html("No pictures yet.")
    if not chosen.samples:
        when = (
            "they are drawn when it has trained" if chosen.outcome is None else reason(chosen.cause) or "it drew none"
        )
        return empty_html(f"No pictures of {chosen.id} ({chosen.label}) yet: {when}.")
    head = f'<p class="quiet">{esc(chosen.id)} · {esc(chosen.label)} · {esc(trial_state(chosen))}</p>'
    grid = gallery.grid(gallery.by_step(chosen.samples), gallery.prompts_of(chosen.samples))
    return head + (sealed_html("Pictures of the duel", grid) if vote.sealed(view, [chosen]) else grid)
