"""Monitor: is it going well? The tournament, its loss curves, its pictures, and the log as it is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from bracket.errors import BracketError
from bracket.runner.reading.tail import last_lines
from bracket.session.view import SessionView, TrialView
from bracket.ui.shared import gallery
from bracket.ui.shared.context import Context
from bracket.ui.shared.format import (
    empty_html,
    esc,
    log_path_html,
    progress_words,
    reason,
    sentence,
    state_words,
    trial_state,
)
from bracket.ui.shared.header import Header
from bracket.ui.shared.loss_chart import chart
from bracket.ui.shared.outcome import MOST_ROWS, sealed_html
from bracket.ui.views import booth as vote
from bracket.ui.views import bracket as bracket_view

NEWEST = ""
"""The trial picker's value for "whichever began last"."""
SESSION_LOG, TRIAL_LOG = "session", "trial"
LINES, LONGEST = 400, 2_000
"""Lines of log that the page holds."""
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


def build(context: Context, head: Header) -> Monitor:
    """The tab. Its HTML is filled by the page."""
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
    _wire(context, made, head, source, find, follow)
    return made


def _wire(context: Context, m: Monitor, head: Header, source: gr.Radio, find: gr.Textbox, follow: gr.Button) -> None:
    """The log: read again with the page, unless it is held, and told only when it changed."""
    told, hold = gr.State(None), gr.State(False)

    def read(hold: bool, told: Any, *asked: Any) -> tuple[Any, ...]:
        text, path = log_of(context, *asked)
        now = (text, log_path_html(path))
        return (gr.skip(), gr.skip(), told) if hold or now == told else (*now, now)

    def turn(hold: bool) -> tuple[bool, Any]:
        return not hold, gr.update(value="Hold" if hold else "Follow")

    asked = [head.session, m.trial, source, find]
    outputs = [m.log, m.log_path, told]
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
    last: dict[str, Any] = {**private, "trigger_mode": "always_last"}
    gr.on(
        [head.pulse.tick, head.pulse.retry, head.refresh.click, *(x.change for x in asked)],
        read,
        [hold, told, *asked],
        outputs,
        **last,
    )
    turned = follow.click(turn, hold, [hold, follow], **private)
    turned.then(read, [hold, told, *asked], outputs, **private)
    m.log.change(None, None, None, js="() => window.bracketLogEnd?.()")


def log_of(
    context: Context, name: str | None, trial: str | None, source: str | None, find: str | None
) -> tuple[str, Path | None]:
    """The last lines of the log that a page wants to see, of those that hold `find` in any case, and where it lies."""
    try:
        view = context.read(name) if name else None
    except BracketError:
        view = None
    if view is None:
        return "", None
    chosen = chosen_trial(view, trial or NEWEST)
    path = view.folder / "session.log"
    if source == TRIAL_LOG and chosen is not None:
        path = chosen.folder / "logs" / "trainer.log"
    wanted = (find or "").strip().casefold()
    lines = last_lines(path, LINES).split("\n")
    return "\n".join(shortened(line) for line in lines if wanted in line.casefold()), path


def shortened(line: str) -> str:
    """A line as the page shows it: a log without line ends must not drown it."""
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} … ({len(line) - LONGEST:,} more characters)"


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


def trial_update(view: SessionView | None, chosen: str) -> dict[str, Any]:
    """The trial picker's entries; what is chosen goes back to the newest when this session has no such trial."""
    listed = trial_choices(view, chosen) if view else [("Newest trial", NEWEST)]
    gone = view is not None and all(chosen != value for _, value in listed)
    update: dict[str, Any] = gr.update(choices=listed, **({"value": NEWEST} if gone else {}))
    return update


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
