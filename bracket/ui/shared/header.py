"""The strip that is always there: the open session, its state and progress, the machine's load, and Stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from bracket.report.words import percent
from bracket.runner.devices import usage
from bracket.session.running import launch
from bracket.session.view import SessionLine, SessionView
from bracket.ui.shared.context import Context, warned
from bracket.ui.shared.format import esc, page_title, progress_words, size, state_words
from bracket.ui.shared.theme import script

_TITLE = """
const tell = () => { document.title = element.querySelector("[data-title]")?.dataset.title || "bracket"; };
watch("value", tell);
tell();
"""
_SHOWN = "document.querySelector('#state [data-session]')?.dataset.session || null"
_TONES = {"running": "busy", "stopping": "busy", "done": "good", "failed": "bad"}


@dataclass(frozen=True)
class Header:
    """The header's parts that others read or write. `session` holds the open session's name for every tab."""

    session: gr.Dropdown
    state: gr.HTML
    stop: gr.Button
    go_on: gr.Button
    ask: gr.Row
    refresh: gr.Button
    pulse: gr.HTML
    """Ticks when the page has become old; retries when it did not get what it was told last."""


def build(context: Context) -> Header:
    """The header with its events."""
    with gr.Row(elem_id="header"):
        gr.HTML("<h1>bracket</h1>", elem_id="brand", apply_default_css=False)
        session = gr.Dropdown(
            choices=[], value=None, show_label=False, container=False, elem_id="session", min_width=200, scale=0
        )
        state = gr.HTML(elem_id="state", apply_default_css=False, js_on_load=_TITLE)
        pulse = gr.HTML(
            html_template='<div class="meters"></div>',
            js_on_load=script("shared/pulse.js"),
            elem_id="meter",
            apply_default_css=False,
        )
        stop = gr.Button("Stop", size="sm", visible=False, elem_id="stop", min_width=70, scale=0)
        go_on = gr.Button("Resume", size="sm", visible=False, elem_id="resume", min_width=80, scale=0)
        gr.Button("Dark / light", size="sm", elem_id="turn", min_width=90, scale=0)
        gr.Button("?", size="sm", elem_id="help", min_width=32, scale=0)
        if context.login:
            gr.HTML('<a class="button" href="logout">Log out</a>', elem_id="logout", apply_default_css=False)
        refresh = gr.Button("Refresh", elem_id="refresh", visible="hidden")
    with gr.Row(visible=False, elem_id="stop-ask") as ask:
        gr.HTML(
            "Stop this search? The trainers save first; what is finished stays, and Resume goes on from there.",
            apply_default_css=False,
        )
        sure = gr.Button("Stop the search", variant="stop", size="sm", elem_id="stop-sure", min_width=120, scale=0)
        keep = gr.Button("Keep it running", size="sm", elem_id="stop-keep", min_width=120, scale=0)

    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    stop.click(lambda: gr.update(visible=True), None, ask, **private)
    keep.click(lambda: gr.update(visible=False), None, ask, **private)

    def stop_now(name: str | None) -> Any:
        if name:
            launch.stop(context.folder(name))
        return gr.update(visible=False)

    def resume(name: str | None) -> Any:
        if name:
            launch.start(context.folder(name))
            gr.Info(f"{esc(name)} goes on where it was.")
        return gr.update(visible=False)

    sure.click(warned(stop_now), session, ask, js=on_shown(), **private)
    go_on.click(warned(resume), session, go_on, js=on_shown(), **private)
    session.change(None, session, None, js="(name) => window.bracketPicked?.(name)")
    return Header(session, state, stop, go_on, ask, refresh, pulse)


def on_shown(more: int = 0) -> str:
    """For an event whose first input is the picker: it acts on the session that the page shows, should another one be
    picked of which nothing is seen yet. `more`: how many inputs follow."""
    return f"(_, ...rest) => [{_SHOWN}, ...rest.slice(0, {more})]" if more else f"() => {_SHOWN}"


def pulse(context: Context) -> Callable[[str, str], dict[str, Any]]:
    """What answers pulse.js."""
    load = _Meter()

    def answer(session: str = "", meter: str = "") -> dict[str, Any]:
        """Whether the page has become old; with the load where it asks for it."""
        stamp, live = context.stamp(session)
        return {"stamp": stamp, "live": live, **({"meter": load.html(live)} if meter else {})}

    return answer


class _Meter:
    """The load, measured no more often than it is worth: a GPU's costs a program's start."""

    def __init__(self) -> None:
        self._shown, self._until = "", 0.0

    def html(self, live: bool) -> str:
        if time.monotonic() >= self._until:
            self._until = time.monotonic() + (2.0 if live else 9.0)
            self._shown = meter_html()
        return self._shown


def state_html(view: SessionView | None, name: str = "", stamp: str = "") -> str:
    """The pill, the bar and the words of the open session; also carries the browser tab's title.

    Args:
        name: the session that was asked for, also where it can't be read.
        stamp: what the page is held against to see that it is old; "" has it read again at once.
    """
    data = f'data-title="{esc(page_title(view))}" data-session="{esc(name)}" data-stamp="{esc(stamp)}"'
    if view is None:
        return f'<div class="state" {data}><span class="pill">{"Not readable" if name else "No session"}</span></div>'
    share = view.done / view.planned if view.planned else 0.0
    tone = _TONES.get(view.state, "")
    return (
        f'<div class="state" {data}><span class="pill {tone}">{esc(state_words(view))}</span>'
        f'<span class="progress" role="progressbar" aria-label="Trials done" aria-valuenow="{share * 100:.0f}">'
        f'<i style="width:{share * 100:.1f}%"></i></span>'
        f'<span class="words">{esc(progress_words(view))}</span></div>'
    )


def meter_html() -> str:
    """Load and memory: of the GPUs where there are any, else of the processor."""
    now = usage()
    if not now.gpus:
        return _meter("CPU", now.cpu) + _meter("RAM", now.used / now.total, f"{size(now.used)} of {size(now.total)}")
    parts = []
    for number, gpu in enumerate(now.gpus):
        name = "GPU" if len(now.gpus) == 1 else f"GPU {number}"
        parts.append(_meter(name, gpu.load, gpu.name))
        parts.append(
            _meter("VRAM", gpu.used / gpu.total if gpu.total else None, f"{size(gpu.used)} of {size(gpu.total)}")
        )
    return "".join(parts)


def choices(lines: list[SessionLine]) -> list[tuple[str, str]]:
    """The session picker's entries: name and state."""
    return [(f"{line.name} · {line.state}", line.name) for line in lines]


def _meter(name: str, share: float | None, more: str = "") -> str:
    value = 0.0 if share is None else min(1.0, max(0.0, share))
    words = "–" if share is None else percent(round(value, 2))
    return (
        f'<span class="meter" title="{esc(more or name)}">{esc(name)} <b>{words}</b>'
        f'<span class="progress"><i style="width:{value * 100:.0f}%"></i></span></span>'
    )
