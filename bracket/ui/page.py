"""The page: header and tabs put together, the form's events, and what keeps all of it up to date."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr

from bracket.errors import BracketError
from bracket.presets import find_preset, list_presets
from bracket.report.words import counted
from bracket.session.asked.settings import SessionSettings, load
from bracket.session.job import resolve
from bracket.session.planning import plan
from bracket.session.planning.next_space import next_space
from bracket.session.running import launch
from bracket.session.view import SessionView
from bracket.ui.form import draft, form
from bracket.ui.form import search as search_form
from bracket.ui.judge import events as judge_events
from bracket.ui.judge import tab as judge
from bracket.ui.monitor import tab as monitor
from bracket.ui.monitor import trial as trial_view
from bracket.ui.results import proof
from bracket.ui.results import tab as results
from bracket.ui.run import tab as run
from bracket.ui.setup import tab as setup
from bracket.ui.shared import choice, header
from bracket.ui.shared.context import Context, caught, said, warned
from bracket.ui.shared.format import action_html, esc, sentence
from bracket.ui.shared.narrow import held
from bracket.ui.shared.relay import TYPED, relayed
from bracket.ui.views import booth as vote
from bracket.ui.views import bracket as bracket_view
from bracket.ui.views import duel_panel as duel
from bracket.unforeseen import kept

_PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
_DEMO = "demo"


class Page:
    """One app's page. `blocks` is what Gradio serves."""

    def __init__(self, runs: Path, *, login: bool = False) -> None:
        self.context = Context(runs.absolute(), login=login)
        choice.tolerate()
        with gr.Blocks(title="bracket", fill_width=True, analytics_enabled=False) as self.blocks:
            self.header = header.build(self.context)
            with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as self.tabs:
                with gr.Tab("Setup", id="setup"):
                    with gr.Row(elem_id="drafted", visible=False) as self.drafted:
                        gr.HTML(f'<p class="message">{draft.TOLD}</p>', apply_default_css=False)
                        self.afresh = gr.Button("Start afresh", size="sm", elem_id="afresh", scale=0, min_width=120)
                    self.setup = setup.build()
                with gr.Tab("Run", id="run"):
                    self.run = run.build()
                with gr.Tab("Monitor", id="monitor"):
                    self.monitor = monitor.build(self.context, self.header)
                with gr.Tab("Judge", id="judge"):
                    self.judge = judge.build(form.default_values(list_presets()[0]))
                with gr.Tab("Results", id="results"):
                    self.results = results.build(self.context, self.header.session)
            trial_view.build(self.context)
            self.fields = {**self.setup.fields, **self.run.fields, **self.judge.fields}
            self.seen = gr.State({})
            self.remembered = gr.BrowserState("", storage_key="bracket-session", secret="bracket-session")
            self.draft = draft.state(self.context.runs)
            self._form_events()
            self._session_events()
            self.judge_events = judge_events.Events(self.context, self.header.session, self.judge, self.setup)
            relayed(self.blocks)
        for event in self.blocks.fns.values():
            if event.fn:
                event.fn = caught(event.fn)

    # The form: its fields arrive as one flat list, in this order.

    @property
    def _inputs(self) -> list[gr.components.Component]:
        return [*self.fields.values(), *self.setup.weights]

    def _values(self, given: tuple[Any, ...]) -> dict[str, Any]:
        values = dict(zip(self.fields, given, strict=False))
        preset = find_preset(str(values["preset"]))
        values["weights"] = setup.weights_given(preset, given[len(self.fields) :])
        return values

    def _filled(self, settings: SessionSettings, name: str) -> list[Any]:
        """Updates for `_inputs` and the name's field."""
        values = form.to_values(settings)
        weights = setup.weight_updates(settings.load_preset(), values["weights"], len(self.setup.weights))
        return [*(values[n] for n in self.fields), *weights, name]

    def _form_events(self) -> None:
        inputs = self._inputs
        planned = [self.run.plan, self.run.command, self.run.start, self.run.faults]
        gr.on(None, self._plan, inputs, planned, **TYPED)
        hours, pays = self.run.hours, self.run.pays
        counts = [self.fields[name] for name in search_form.COUNTS]
        hours.input(self._buy, [hours, *inputs], [*counts, pays], **TYPED)
        # Only what a person changes: while the budget fills field after field, the form means something in between.
        edited = [self.fields[name].input for name in search_form.TIMED]
        gr.on(edited, **self._following, **TYPED)
        preset = self.setup.fields["preset"]
        chosen = preset.input(warned(self._preset_chosen), inputs, inputs, **_PRIVATE)
        chosen.then(**self._following, **_PRIVATE)
        self.setup.fields["folder"].input(
            lambda folder: form.suggested_name(form.text(folder), self.context.runs),
            self.setup.fields["folder"],
            self.run.name,
            **TYPED,
        )
        opened = [self.header.session, self.remembered, self.tabs]
        started = [self.run.said, *opened, self.draft]
        begun = self.run.start.click(self._start, [self.run.name, *inputs], started, **_PRIVATE)
        begun.then(None, self.draft, None, js=draft.SETTLE)
        named = {f"weight-{i}": part for i, part in enumerate(self.setup.weights)}
        draft.keep({**self.fields, **named, "name": self.run.name}, self.draft)
        self.setup.demo.click(warned(self._demo), None, opened, **_PRIVATE)
        more = self.results.proof
        asked, told = [self.header.session, more.pairs], [more.trouble, *opened]
        more.start.click(self._prove, asked, told, js=header.on_shown(1), **_PRIVATE)

    def _plan(self, *given: Any) -> tuple[Any, ...]:
        idle = (run.command_text(None), gr.update(interactive=False))
        wrong: list[dict[str, Any]] = []
        try:
            values = self._values(given)
            wrong = [{**asdict(f), "id": self.fields[f.field].elem_id} for f in form.faults(values)]
            if not form.text(values["folder"]):
                return run.NO_FOLDER, *idle, wrong
            runs = self.context.runs
            asked = held(self.context, form.to_settings(values))
            made = plan.make(asked, folder=runs / form.free_name("session", runs))
        except BracketError as error:
            return run.error_html(error), *idle, wrong
        return run.plan_html(made), run.command_text(made), gr.update(interactive=not made.errors), wrong

    def _buy(self, hours: float, *given: Any) -> list[Any]:
        """The numbers that so many hours pay for; nothing while the form can't be read, which the plan says."""
        try:
            values, words = search_form.bought(resolve(form.to_settings(self._values(given))), hours)
        except BracketError:
            return [gr.skip()] * (len(search_form.COUNTS) + 1)
        return [*values, words]

    @property
    def _following(self) -> dict[str, Any]:
        """The event that brings the slider to what the form takes."""
        hours, pays = self.run.hours, self.run.pays
        return {"fn": self._follow, "inputs": [hours, *self._inputs], "outputs": [hours, pays]}

    def _follow(self, hours: float, *given: Any) -> tuple[Any, Any]:
        try:
            return search_form.followed(resolve(form.to_settings(self._values(given))), hours)
        except BracketError:
            return gr.skip(), ""

    def _preset_chosen(self, *given: Any) -> list[Any]:
        """The new preset's own suggestions; the folder and its words stay."""
        values = dict(zip(self.fields, given, strict=False))
        preset = find_preset(str(values["preset"]))
        fresh = form.default_values(preset)
        kept = {n: values[n] for n in ("folder", "trigger_word", "class_word")}
        weights = setup.weight_updates(preset, {}, len(self.setup.weights))
        return [*({**fresh, **kept}[n] for n in self.fields), *weights]

    def _start(self, name: str, *given: Any) -> tuple[Any, ...]:
        try:
            folder = self.context.runs / form.session_name(name)
            launch.create(held(self.context, form.to_settings(self._values(given))), folder)
            launch.start(folder)
        except BracketError as error:
            return run.not_started_html(said(error) + self._free(name)), gr.skip(), gr.skip(), gr.skip(), gr.skip()
        return ("", *self._opened(folder.name), draft.NOTHING)

    def _free(self, name: str) -> str:
        """The button that takes the next free name, where a session has this one."""
        free = form.free_name(form.text(name), self.context.runs) if form.text(name) else ""
        return action_html(f"set name {free}") if free != form.text(name) and "/" not in free else ""

    def _prove(self, name: str | None, pairs: float | None) -> tuple[Any, ...]:
        try:
            proof.begin(self.context, name, pairs)
        except BracketError as error:
            return run.not_started_html(said(error)), gr.skip(), gr.skip(), gr.skip()
        return ("", *self._opened(str(name)))

    def _demo(self) -> tuple[Any, ...]:
        folder = self.context.runs / form.free_name(_DEMO, self.context.runs)
        launch.create(launch.demo_settings(runs=self.context.runs, session=folder), folder)
        launch.start(folder)
        return self._opened(folder.name)

    def _opened(self, name: str) -> tuple[Any, ...]:
        """Updates for the picker, the browser's memory and the tabs after a start."""
        choices = header.choices(self.context.lines())
        return gr.update(choices=choices, value=name), name, gr.update(selected="monitor")

    # The open session: chosen, remembered, and read again whenever pulse.js finds the page old.

    def _session_events(self) -> None:
        session, inputs = self.header.session, [*self._inputs, self.run.name]
        loaded = self.blocks.load(warned(self._restore), self.remembered, [session, self.tabs], **_PRIVATE)
        filled = loaded.then(warned(self._first), [session, self.draft], [*inputs, self.drafted], **_PRIVATE)
        again = self.run.same.click(warned(self._fill), session, inputs, **_PRIVATE)
        afresh = self.afresh.click(lambda: self._fill(None), None, inputs, **_PRIVATE)
        spaced = self.results.mattered.use.click(
            warned(self._next_space), session, [*inputs, self.tabs], js=header.on_shown(), **_PRIVATE
        )
        for event in (filled, again, afresh):
            event.then(**self._following, **_PRIVATE)
        for event in (again, afresh, spaced):
            event.then(None, None, self.draft, js=draft.FORGET)
            event.then(lambda: gr.update(visible=False), None, self.drafted, **_PRIVATE)
        session.input(lambda name: name or "", session, self.remembered, **_PRIVATE)
        polled: dict[str, Any] = {**_PRIVATE, "queue": False, "trigger_mode": "always_last"}
        triggers = [self.header.pulse.tick, self.header.refresh.click, session.change, self.monitor.trial.input]
        asked = [session, self.monitor.trial]
        gr.on(triggers, self._poll, [*asked, self.seen], self._live, **polled)
        self.header.pulse.retry(lambda name, trial: self._poll(name, trial, {}), asked, self._live, **polled)
        filled.then(None, session, None, js="(name) => { window.bracketFilled(); window.bracketPicked?.(name); }")

    def _restore(self, remembered: str) -> tuple[Any, Any]:
        """The session this browser had open, else one that runs, else the newest; and the tab that suits it."""
        lines = {line.name: line for line in self.context.lines()}
        running = [name for name, line in lines.items() if line.state in ("running", "stopping")]
        name = remembered if remembered in lines else next(iter([*running, *lines]), None)
        state = lines[name].state if name else "idle"
        tab = {"idle": "setup", "done": "results"}.get(state, "monitor")
        return gr.update(choices=header.choices(list(lines.values())), value=name), gr.update(selected=tab)

    def _first(self, name: str | None, kept: object) -> list[Any]:
        """The form as this browser left it unfinished, else as the open session was asked."""
        found = draft.restored(kept, self.fields)
        if found is None or not isinstance(kept, dict):
            return [*self._fill(name), gr.update(visible=False)]
        values, left = found
        if left:
            gr.Info(f"{counted(left, 'field')} of the form can't be as you left it: it has what is suggested now.")
        preset = find_preset(str(values["preset"]))
        texts = [form.text(kept.get(f"weight-{i}")) for i in range(len(self.setup.weights))]
        weights = setup.weight_updates(preset, setup.weights_given(preset, texts), len(texts))
        name = form.text(kept.get("name")) or form.free_name("session", self.context.runs)
        return [*(values[n] for n in self.fields), *weights, name, gr.update(visible=True)]

    def _fill(self, name: str | None) -> list[Any]:
        """The form as the open session was asked, under a name of its own for the next one."""
        if not name:
            preset = find_preset(str(self.setup.fields["preset"].value))
            values = form.default_values(preset)
            weights = setup.weight_updates(preset, {}, len(self.setup.weights))
            return [*(values[n] for n in self.fields), *weights, form.free_name("session", self.context.runs)]
        return self._filled(load(self.context.folder(name)), form.free_name(name, self.context.runs))

    def _next_space(self, name: str | None) -> list[Any]:
        """The form for a session that looks where the open one suggests, and the tab that shows it."""
        if not name:
            return [gr.skip()] * (len(self._inputs) + 2)
        found = next_space(self.context.folder(name))
        if found.words:
            gr.Info(esc(found.words), title="The next session's space", duration=15)
        return [*self._filled(found.settings, form.free_name(name, self.context.runs)), gr.update(selected="run")]

    @property
    def _live(self) -> list[Any]:
        h, m = self.header, self.monitor
        return [
            h.session,
            h.state,
            h.stop,
            h.go_on,
            h.ask,
            self.setup.welcome,
            m.message,
            m.duel,
            self.results.duel,
            m.cards,
            m.chart,
            m.trial,
            m.samples,
            self.judge.told,
            self.judge.pair,
            *self.results.outputs,
            self.seen,
        ]

    def _poll(self, name: str | None, trial: str | None, seen: dict[str, Any]) -> list[Any]:
        """What changed since the page was last told; the rest is skipped, so that nothing flickers."""
        stamp, _ = self.context.stamp(name or "")
        try:
            view = self.context.read(name) if name else None
            return self._told(view, "", name or "", "" if view and view.trouble else stamp, trial, seen)
        except BracketError as error:
            trouble = said(error)
        except Exception as error:  # noqa: BLE001  the page must go on, and say it
            trouble = esc(sentence(kept(error)))
        # What can't be read now may be at the next look, also if no file changes: a lock that is given back.
        return self._told(None, trouble, name or "", "", trial, seen)

    def _told(
        self, view: SessionView | None, trouble: str, name: str, look: str, trial: str | None, seen: dict[str, Any]
    ) -> list[Any]:
        now = self._now(view, trouble, self.context.lines(), trial or monitor.NEWEST)
        now["state"] = header.state_html(view, name, look)
        changed = [value if seen.get(key) != value else gr.skip() for key, value in now.items()]
        # A question that was asked of another session, or while it ran, is not answered for this one.
        ask = list(now).index("ask")
        changed[ask] = gr.skip() if seen.get("ask") == now["ask"] else gr.update(visible=False)
        stamp = (*results.stamp(view), trouble)
        old = seen.get("results", ())
        # Another session, or the same one in another state: what is compared is chosen anew.
        told = (
            results.values(view, pick=old[:2] != stamp[:2]) if old != stamp else [gr.skip()] * len(self.results.outputs)
        )
        return [*changed, *told, {**now, "results": stamp}]

    def _now(self, view: SessionView | None, trouble: str, lines: list[Any], trial: str) -> dict[str, Any]:
        state = view.state if view else ""
        live = state in ("running", "stopping")
        failed = f'<p class="message error">{trouble}</p>'
        return {
            "session": gr.update(choices=header.choices(lines)),
            "state": "",
            "stop": gr.update(visible=live, interactive=state == "running"),
            "go_on": gr.update(visible=state in ("idle", "stopped", "failed")),
            "ask": (view.name if view else "", live),
            "welcome": setup.welcome_html(len(lines)),
            "message": failed if trouble else monitor.message_html(view),
            "duel": duel.panel_html(view, sealed=view is not None and not vote.voted(view)),
            "duel_result": duel.panel_html(view, pictures=False),
            "cards": bracket_view.value_of(view),
            "chart": {"session": view.name if view else "", "only": None, "live": live},
            "trial": monitor.trial_update(view, trial),
            "samples": monitor.samples_html(view, trial),
            "told": judge.told_html(view, vote.told_of(view) if view else ""),
            "pair": gr.update(choices=judge.pair_choices(vote.pairs_of(view) if view else [])),
        }
