"""Setup's part on trainers people already use: which are there, and getting those that aren't."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from bracket import homes
from bracket.errors import BracketError
from bracket.homes import TRAINERS, UPSTREAMS, State, identify, state_of
from bracket.homes.problems import install_finished
from bracket.report.words import duration
from bracket.trainers.install import Progress, Wish, install, install_folder, update
from bracket.ui.form import form
from bracket.ui.shared.context import only_here, said, warned
from bracket.ui.shared.format import esc, problems_html

_log = logging.getLogger(__name__)
_POLL = 0.5
_WIDTH = 140
_PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


class Installation:
    """An install or update at work in a thread, so that it outlives the page that asked for it.

    Attributes:
        progress: the latest.
        error: why it ended, as HTML; "" when it went well or hasn't ended.
    """

    def __init__(self, trainer: str, steps: Iterator[Progress], stop: threading.Event) -> None:
        self.trainer, self.progress, self.error = trainer, Progress(0, 0, "Starting"), ""
        self.stop, self.began = stop, time.monotonic()
        self._steps = steps
        # A daemon: when the app ends, the guard over the running command ends it.
        self._thread = threading.Thread(target=self._run, name=f"install-{trainer}", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            for progress in self._steps:
                self.progress = progress
        except BracketError as error:
            self.error = said(error)
        except Exception as error:  # noqa: BLE001 - the thread's edge: the page must hear of it
            _log.exception("the install of %s broke", self.trainer)
            self.error = esc(f"{type(error).__name__}: {error}")


@dataclass(frozen=True)
class Trainers:
    """The part's components."""

    status: gr.HTML
    trainer: gr.Radio
    problems: gr.HTML
    folder: gr.Textbox
    get: gr.Button
    stop: gr.Button
    progress: gr.HTML
    have: gr.Textbox
    python: gr.Textbox
    use: gr.Button
    forget: gr.Button


def build() -> Trainers:
    """The part with its events; nothing is looked at before a page opens."""
    status = gr.HTML(apply_default_css=False, elem_id="trainers")
    with gr.Accordion("Get a trainer, or point at yours", open=False, elem_id="trainers-drawer"):
        trainer = gr.Radio(
            [(u.title, u.name) for u in UPSTREAMS.values()], value=TRAINERS[0], label="Trainer", elem_id="trainer"
        )
        problems = gr.HTML(apply_default_css=False)
        folder = gr.Textbox(
            label="Install into",
            info="About 8 GB with its packages; it gets a venv of its own",
            elem_id="trainer-folder",
            max_lines=1,
        )
        with gr.Row():
            get = gr.Button("Install", elem_id="trainer-install", size="sm", scale=0, min_width=_WIDTH)
            stop = gr.Button("Stop", elem_id="trainer-stop", size="sm", scale=0, min_width=_WIDTH, visible=False)
        progress = gr.HTML(apply_default_css=False, elem_id="trainer-progress")
        with gr.Row():
            have = gr.Textbox(label="A checkout you have", elem_id="trainer-have", max_lines=1)
            python = gr.Textbox(
                label="Its Python", info="Empty: that of its venv", elem_id="trainer-python", max_lines=1
            )
        with gr.Row():
            use = gr.Button("Use this one", elem_id="trainer-use", size="sm", scale=0, min_width=_WIDTH)
            forget = gr.Button("Forget mine", elem_id="trainer-forget", size="sm", scale=0, min_width=_WIDTH)
    made = Trainers(status, trainer, problems, folder, get, stop, progress, have, python, use, forget)
    _Events(made)
    return made


class _Events:
    """What happens on a click. One installation at a time is under way in an app."""

    def __init__(self, made: Trainers) -> None:
        self._now: Installation | None = None
        t = made
        chosen = [t.status, t.problems, t.folder, t.get]
        followed = [t.progress, t.stop, *chosen]
        follow: dict[str, Any] = {**_PRIVATE, "concurrency_limit": None}
        # No triggers and no inputs: when a page opens.
        opened = gr.on(None, lambda: self._chosen(TRAINERS[0]), None, chosen, **_PRIVATE)
        opened.then(self._follow, t.trainer, followed, **follow)
        t.trainer.input(self._chosen, t.trainer, chosen, **_PRIVATE)
        begun = t.get.click(warned(self._begin), [t.trainer, t.folder], t.progress, **_PRIVATE)
        begun.then(self._follow, t.trainer, followed, **follow)
        t.stop.click(self._stop, None, None, **_PRIVATE)
        used = t.use.click(warned(_use), [t.trainer, t.have, t.python], t.progress, **_PRIVATE)
        used.then(self._chosen, t.trainer, chosen, **_PRIVATE)
        forgotten = t.forget.click(warned(_forget), t.trainer, t.progress, **_PRIVATE)
        forgotten.then(self._chosen, t.trainer, chosen, **_PRIVATE)

    def _chosen(self, trainer: str) -> tuple[Any, ...]:
        states = {name: state_of(name) for name in TRAINERS}
        state = states[trainer]
        there = state.home if state.home and identify(state.home.folder) else None
        return (
            status_html(list(states.values())),
            # That it isn't there stands in the line above, and what to do about it below.
            problems_html(p for p in state.problems if state.home or p.level == "error"),
            gr.update(value=str(there.folder if there else _place(trainer)), interactive=there is None),
            "Update" if updatable(state) else "Install",
        )

    def _begin(self, trainer: str, folder: object) -> Any:
        if self._now is not None and self._now.running:
            gr.Warning("Wait for the other trainer, or stop it.", title="One at a time")
            return gr.skip()
        if form.text(folder) and Path(form.text(folder)) != _place(trainer):
            only_here("choosing where a trainer is installed")
        stop = threading.Event()
        wish = Wish(trainer, Path(form.text(folder)) if form.text(folder) else None)
        steps = update(wish, stop) if updatable(state_of(trainer)) else install(wish, stop)
        self._now = Installation(trainer, steps, stop)
        return progress_html(self._now)

    async def _follow(self, trainer: str) -> AsyncIterator[tuple[Any, ...]]:
        now = self._now
        if now is None:
            yield (gr.skip(),) * 6
            return
        while now.running:
            yield (progress_html(now), gr.update(visible=True), *(gr.skip(),) * 4)
            await asyncio.sleep(_POLL)
        yield (progress_html(now), gr.update(visible=False), *self._chosen(trainer))

    def _stop(self) -> None:
        if self._now is not None:
            self._now.stop.set()


def updatable(state: State) -> bool:
    """Whether a checkout is there to be moved on; one that bracket only half installed is installed on."""
    if state.home is None or identify(state.home.folder) is not state.upstream:
        return False
    return state.ready or install_finished(state.home.folder) is None


def status_html(states: list[State]) -> str:
    """ "sd-scripts ✓ 48d368f · musubi-tuner ✗ its install was not finished · AI-Toolkit – not installed"."""
    return f'<p class="facts">{" · ".join(map(_state_html, states))}</p>'


def progress_html(now: Installation) -> str:
    """Where an installation is, or how it ended."""
    title = esc(UPSTREAMS[now.trainer].title)
    if now.error:
        return f'<p class="message error">{now.error}</p>'
    step = now.progress
    if not now.running:
        return f"<p>{esc(step.line)}</p>"
    count = f"{step.step} of {step.total}: " if step.total else ""
    since = duration(time.monotonic() - now.began)
    return f'<p>{title} · {count}{esc(step.title)} · {since}</p><p class="quiet">{esc(step.line[:160])}</p>'


def _state_html(state: State) -> str:
    title = esc(state.upstream.title)
    where = esc(", ".join([*state.facts, str(state.home.folder)]) if state.home else "")
    if state.ready:
        return f'<span title="{where}">{title} ✓ {esc(state.commit[:7])}</span>'
    wrong = [p.message.removeprefix(f"{state.upstream.title}: ") for p in state.problems if p.level == "error"]
    told = f"✗ {esc(wrong[0])}" if wrong else "– not installed"
    return f'<span title="{where}">{title} {told}</span>'


def _place(trainer: str) -> Path:
    try:
        return install_folder(Wish(trainer))
    except BracketError:  # its list of homes is damaged, which the problems say
        return Path()


def _forget(trainer: str) -> str:
    only_here("forgetting a trainer")
    title = esc(UPSTREAMS[trainer].title)
    return (
        f"<p>Forgot where {title} is; its files stay.</p>"
        if homes.forget(trainer)
        else f"<p>{title} was not known.</p>"
    )


def _use(trainer: str, folder: object, python: object) -> str:
    only_here("naming a trainer's folder or its Python")
    home = homes.use(trainer, Path(form.text(folder)), Path(form.text(python)) if form.text(python) else None)
    return f"<p>{esc(UPSTREAMS[trainer].title)} is used from {esc(home.folder)}</p>"
