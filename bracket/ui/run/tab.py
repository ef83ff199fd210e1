"""Run: how much to spend, and what that can prove. The plan beside the form follows every change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from bracket.errors import BracketError
from bracket.presets import list_presets
from bracket.report.words import counted, duration
from bracket.session.planning.plan import Plan, PlannedRound
from bracket.session.planning.promise import Promise
from bracket.ui.form import form
from bracket.ui.form import search as search_form
from bracket.ui.shared.context import said
from bracket.ui.shared.format import esc, problems_html, sentence, size
from bracket.ui.shared.theme import script

NO_FOLDER = '<h2>The plan</h2><p class="empty">Choose a folder of pictures in Setup, or start the demo there.</p>'
_ROUNDS = {"search": "Search", "finals": "Finals", "confirmation": "Duel"}
_LEFT_FIELDS = ("configs", "steps", "finalists", "finals_steps", "finals_seeds", "pairs")


@dataclass(frozen=True)
class Run:
    """The tab's parts. `fields` are those the form reads; `pays` says what the `hours` pay for; `faults` marks those on
    every tab that can't be read."""

    fields: dict[str, gr.components.Component]
    name: gr.Textbox
    hours: gr.Slider
    pays: gr.HTML
    same: gr.Button
    plan: gr.HTML
    command: gr.Textbox
    start: gr.Button
    said: gr.HTML
    faults: gr.HTML


def build() -> Run:
    """The tab; its events are wired by the page, which knows the other fields."""
    values = form.default_values(list_presets()[0])
    fields: dict[str, gr.components.Component] = {}
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=420):
            with gr.Row():
                name = gr.Textbox(label="Session name", elem_id="name", max_lines=1)
                fields["memory"] = memory_box(values["memory"])
            hours, pays = search_form.build_budget()
            fields |= search_form.build_strategy(values)
            fields |= _numbers(values)
            fields["sample_weight"] = gr.Slider(
                0,
                1,
                value=values["sample_weight"],
                step=0.05,
                elem_id="dial",
                label="What the score counts",
                info="0: only the loss on held-out pictures. 1: only what the judge says of the samples.",
            )
            fields["knobs"] = gr.Dataframe(
                values["knobs"],
                headers=list(form.KNOB_COLUMNS),
                datatype="str",
                type="array",
                label="Knobs",
                static_columns=[0, 5],
                column_widths=["18%", "10%", "10%", "13%", "15%", "34%"],
                wrap=True,
                interactive=True,
                elem_id="knobs",
                buttons=[],
                max_height=420,
            )
            faults = gr.HTML(
                value=[], html_template="", js_on_load=script("run/faults.js"), elem_id="faults", padding=False
            )
            same = gr.Button("Take the open session's settings", size="sm", elem_id="same", scale=0)
            fields |= _more(values)
        with gr.Column(scale=2, min_width=360, elem_id="plan-side"):
            plan = gr.HTML(apply_default_css=False, elem_id="plan")
            start = gr.Button("Start", variant="primary", elem_id="start")
            said_ = gr.HTML(apply_default_css=False, elem_id="start-said")
            with gr.Accordion("The exact commands", open=False, elem_id="command-drawer"):
                command = gr.Textbox(
                    show_label=False,
                    container=False,
                    lines=8,
                    max_lines=20,
                    interactive=False,
                    buttons=["copy"],
                    elem_id="command",
                    elem_classes="mono",
                )
    return Run(fields, name, hours, pays, same, plan, command, start, said_, faults)


def _numbers(values: Mapping[str, Any]) -> dict[str, gr.components.Component]:
    """How many and how long, in two rows."""
    fields: dict[str, gr.components.Component] = {}
    for names in (_LEFT_FIELDS[:3], _LEFT_FIELDS[3:]):
        with gr.Row():
            for n in names:
                fields[n] = gr.Number(
                    values[n],
                    label=form.NUMBERS[n][2],
                    precision=0,
                    minimum=0 if n == "pairs" else 1,
                    elem_id=n.replace("_", "-"),
                    min_width=120,
                )
    return fields


def memory_box(ticked: bool) -> gr.Checkbox:
    return gr.Checkbox(
        ticked,
        label="Learn from earlier sessions",
        info="What ranked well in earlier sessions of this model is tried sooner. The plan says what is borrowed.",
        elem_id="memory",
    )


def _more(values: Mapping[str, Any]) -> dict[str, gr.components.Component]:
    """What few need, folded away."""
    fields: dict[str, gr.components.Component] = {}
    with gr.Accordion("More", open=False, elem_id="more"):
        with gr.Row():
            for n in ("sample_every", "seed", "vram", "keep_at_least"):
                fields[n] = gr.Number(
                    values[n],
                    label=form.NUMBERS[n][2],
                    precision=0,
                    minimum=0,
                    min_width=120,
                    elem_id=n.replace("_", "-"),
                )
            fields["device"] = gr.Textbox(
                values["device"],
                label="Device",
                placeholder="what the machine has",
                max_lines=1,
                min_width=120,
                elem_id="device",
            )
        fields["stop_below"] = gr.Number(
            values["stop_below"],
            label="Stop the search early when the rest would likely gain less than",
            info="In points of score, of which there are 100. 0 never stops early.",
            minimum=0,
            step=0.5,
            elem_id="stop-below",
        )
        fields["stamp"] = gr.Checkbox(
            values["stamp"],
            label="Have the duel's plan time-stamped",
            info="An authority signs its hash once it is fixed: proof that it was there before the first picture.",
            elem_id="stamp",
        )
        fields["extra_args"] = gr.Textbox(
            values["extra_args"],
            label="Extra arguments for the trainer",
            info="Added to its training command as they stand; see the exact commands.",
            elem_id="extra-args",
            elem_classes="mono",
            max_lines=3,
        )
    return fields


def plan_html(plan: Plan) -> str:
    """The plan beside the form: the bracket of rounds, the totals, what they can show, and the problems."""
    if not plan.rounds:
        return problems_html(plan.problems)
    basis = (
        f"from {counted(plan.measured, 'measured trial')}" if plan.measured else "a guess until trials were measured"
    )
    unit = "GPU" if plan.device == "cuda" else plan.device.upper()
    times = [("Time", duration(plan.seconds)), (f"{unit} time", duration(plan.device_seconds))]
    totals = [
        *(times if not plan.lacks else []),
        ("Trials", _thousands(plan.trials)),
        ("Steps", _thousands(plan.steps)),
        ("Pictures", _thousands(plan.pictures)),
        ("Disk", size(plan.disk_bytes)),
    ]
    shown = "".join(f"<div><dt>{esc(name)}</dt><dd>{esc(value)}</dd></div>" for name, value in totals)
    time = f"Time is {basis}." + (f" {counted(plan.workers, 'trial')} at a time." if plan.workers > 1 else "")
    if plan.lacks:
        time = f"It needs {plan.lacks}, and none is seen here: how long it would take can't be said."
    again = f'<p class="quiet" id="again">{"<br>".join(map(esc, plan.again))}</p>' if plan.again else ""
    lent = f'<p class="quiet">{esc(plan.memory)}</p>' if plan.memory else ""
    return (
        f'<h2>The plan</h2>{_bracket(plan.rounds, timed=not plan.lacks)}<dl class="totals">{shown}</dl>'
        f'<p class="quiet">{esc(time)}</p>'
        f'<p class="quiet" id="parted">{"<br>".join(map(esc, plan.parted))}</p>'
        f"{again}"
        f'<p class="claim">{esc(plan.claim)}</p>{_promises(plan.promises)}{lent}'
        f"{problems_html(dict.fromkeys(plan.problems))}"
    )


def _bracket(rounds: Sequence[PlannedRound], *, timed: bool = True) -> str:
    """The rounds from left to right, each a box as high as it has trials."""
    most = max((r.trials for r in rounds), default=0) or 1
    rungs = sum(r.name == "search" for r in rounds)
    columns = []
    for r in rounds:
        name = f"Rung {r.rung + 1}" if r.name == "search" and rungs > 1 else _ROUNDS.get(r.name, r.name)
        if not r.trials:
            columns.append(f'<div class="stage out"><b>{esc(name)}</b><span class="box">none</span></div>')
            continue
        # By the root, so that a few trials beside many still have a box.
        share, about = (r.trials / most) ** 0.5, "≈ " if r.about else ""
        columns.append(
            f'<div class="stage {esc(r.name)}"><b>{esc(name)}</b>'
            f'<span class="box" style="--share:{share:.2f}">{about}{counted(r.trials, "trial")}</span>'
            f"<span>{counted(r.steps, 'step')}</span>{f'<span>{duration(r.seconds)}</span>' if timed else ''}</div>"
        )
    return f'<div class="stages">{"".join(columns)}</div>'


def _promises(promises: Sequence[Promise]) -> str:
    """What each comparison may end in."""
    lines = "".join(
        f'<li class="{"yes" if p.possible else "no"}"><b>{esc(p.about)}</b> {esc(sentence(p.words))}</li>'
        for p in promises
    )
    return f'<ul class="promises">{lines}</ul>' if lines else ""


def _thousands(n: int) -> str:
    return f"{n:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def command_text(plan: Plan | None) -> str:
    """The commands of every phase, as they can be pasted into a shell."""
    if not plan or not plan.commands:
        return "They appear once the settings can be started."
    return "\n\n".join(f"# {c.title}\n{c.text}" for c in plan.commands)


def error_html(error: BracketError) -> str:
    """What stands in the plan's place while the form can't be read."""
    return (
        '<h2>The plan</h2><ul class="checks"><li class="error"><span class="mark">✗</span>'
        f"<span>{said(error)}</span></li></ul>"
    )


def not_started_html(words: str) -> str:
    """The line under Start: why it did not start. `words` are safe HTML."""
    return f'<ul class="checks"><li class="error"><span class="mark">✗</span><span>{words}</span></li></ul>'
