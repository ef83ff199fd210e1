"""Judge: who looks at the pictures, what it asks, what it says of two of them, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from bracket.domain import Sample
from bracket.errors import StorageError
from bracket.files import read_json
from bracket.report.words import percent
from bracket.session.view import SessionView
from bracket.ui.form import form
from bracket.ui.form import judge as judge_form
from bracket.ui.form.judge import KINDS, MODEL, NEEDS, VLM
from bracket.ui.shared.format import empty_html, esc, sentence

SHOWN_BY = {
    "judge_url": ("openai_api",),
    "judge_key_variable": ("openai_api",),
    "judge_timeout": ("openai_api",),
    "judge_concurrency": ("openai_api",),
    "judge_quantize": ("qwen_vl",),
    "judge_device": ("qwen_vl",),
    "judge_rubric": VLM,
    "judge_repeats": VLM,
    "judge_references": VLM,
}
"""Fields that only these kinds have a use for."""
REPORT = "judge.json"
"""In a session's report: what it found out about its judge."""


@dataclass(frozen=True)
class Tab:
    """The tab's parts. `fields` are those the form reads beside Setup's kind and model."""

    fields: dict[str, gr.components.Component]
    kind: gr.Radio
    model: gr.Dropdown
    server: gr.Row
    list_models: gr.Button
    connect: gr.Button
    connected: gr.HTML
    needs: gr.HTML
    checks: gr.HTML
    told: gr.HTML
    pair: gr.Dropdown
    left: gr.Image
    right: gr.Image
    prompt: gr.Textbox
    test: gr.Button
    result: gr.HTML
    rubric_part: gr.Accordion
    shipped: gr.Dropdown
    rubric: gr.Code
    rubric_checks: gr.HTML
    target: gr.Textbox
    save: gr.Button
    base: gr.State
    """The rubric that the text in the box began as."""


def build(values: Mapping[str, Any]) -> Tab:
    """The tab; `events` gives it its events.

    Args:
        values: the form as it begins.
    """
    fields: dict[str, gr.components.Component] = {}
    kind_now = str(values["judge"])
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=460):
            kind, model = _choice(values)
            server, list_models, connect, connected = _server(values, fields)
            needs = gr.HTML(needs_html(kind_now), apply_default_css=False)
            checks = gr.HTML(apply_default_css=False, elem_id="judge-checks")
            _more(values, fields)
        with gr.Column(scale=2, min_width=360, elem_id="judge-side"):
            told = gr.HTML(told_html(None), apply_default_css=False, elem_id="judge-told")
    gr.HTML("<h2>Test on two pictures</h2>", apply_default_css=False, elem_classes="section")
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=460):
            pair = gr.Dropdown([], label="Pictures of the open session", elem_id="test-pair")
            with gr.Row(elem_id="test-pictures"):
                left, right = (_picture(side) for side in ("left", "right"))
            prompt = gr.Textbox(label="The prompt they were drawn for", elem_id="test-prompt", lines=1, max_lines=4)
            test = gr.Button("Test the judge", elem_id="judge-test", variant="primary", min_width=160)
        with gr.Column(scale=4, min_width=460):
            result = gr.HTML(empty_html(_NO_TEST), apply_default_css=False, elem_id="test-result")
    with gr.Accordion("What it asks", open=kind_now in VLM, elem_id="rubric-part") as part:
        shipped, rubric, rubric_checks, target, save = _rubric(values, fields)
    base = gr.State(str(values["judge_rubric"]))
    return Tab(
        fields, kind, model, server, list_models, connect, connected, needs, checks, told, pair, left, right, prompt,
        test, result, part, shipped, rubric, rubric_checks, target, save, base,
    )  # fmt: skip


_NO_TEST = "Scores by axis, the questions with their answers, and seconds a picture appear here."


def _choice(values: Mapping[str, Any]) -> tuple[gr.Radio, gr.Dropdown]:
    kinds = [(title, name) for name, title in KINDS.items()]
    kind = gr.Radio(kinds, value=values["judge"], label="Judge", elem_id="judge-kind")
    model = gr.Dropdown(
        [values["judge_model"]] if values["judge_model"] else [],
        value=values["judge_model"],
        label="Model",
        info=MODEL[str(values["judge"])],
        allow_custom_value=True,
        elem_id="judge-tab-model",
    )
    return kind, model


def _server(
    values: Mapping[str, Any], fields: dict[str, gr.components.Component]
) -> tuple[gr.Row, gr.Button, gr.Button, gr.HTML]:
    with gr.Row(visible=values["judge"] == "openai_api", elem_id="judge-server") as server:
        fields["judge_url"] = gr.Textbox(
            values["judge_url"],
            label="Server address",
            placeholder="http://localhost:1234/v1",
            max_lines=1,
            elem_id="judge-url",
            scale=3,
        )
        list_models = gr.Button("List its models", size="sm", elem_id="judge-models", scale=0, min_width=130)
        connect = gr.Button("Test the connection", size="sm", elem_id="judge-connect", scale=0, min_width=150)
    connected = gr.HTML(apply_default_css=False, elem_id="judge-connected")
    return server, list_models, connect, connected


def _more(values: Mapping[str, Any], fields: dict[str, gr.components.Component]) -> None:
    """What a judge can do without."""
    kind = str(values["judge"])

    def number(name: str, low: float, info: str = "") -> None:
        fields[name] = gr.Number(
            values[name],
            label=judge_form.label(name),
            info=info or None,
            minimum=low,
            min_width=150,
            visible=used_by(name, kind),
            elem_id=name.replace("_", "-"),
        )

    def line(name: str, label: str, info: str = "", holder: str = "") -> None:
        fields[name] = gr.Textbox(
            values[name],
            label=label,
            info=info or None,
            placeholder=holder,
            max_lines=1,
            min_width=150,
            visible=used_by(name, kind),
            elem_id=name.replace("_", "-"),
        )

    with gr.Accordion("More, and several judges", open=False, elem_id="judge-more"):
        with gr.Row():
            line("judge_weights", "Axis weights", "Changes to its own", "adherence: 0.5, likeness: 0.2")
            fields["pairwise"] = gr.Number(
                values["pairwise"],
                label=form.NUMBERS["pairwise"][2],
                info="In the finals; closest first",
                precision=0,
                minimum=0,
                min_width=150,
                elem_id="pairwise",
            )
            number("judge_share", 0, "What it counts beside others")
            number("judge_batch_size", 1)
            number("judge_repeats", 1, "Where its probabilities can't be had")
            number("judge_references", 0, "With the question about likeness")
        with gr.Row():
            line("judge_device", "Device", "Empty: the GPU when there is one")
            fields["judge_quantize"] = gr.Dropdown(
                [("as it is", ""), ("8-bit", "8bit"), ("4-bit", "4bit")],
                value=values["judge_quantize"],
                label="Precision",
                min_width=150,
                visible=used_by("judge_quantize", kind),
            )
            line("judge_key_variable", "Variable with the server's key", "The key itself is never written down")
            number("judge_timeout", 1)
            number("judge_concurrency", 1)
        fields[judge_form.OTHERS] = gr.Dataframe(
            values[judge_form.OTHERS],
            headers=list(judge_form.OTHER_COLUMNS),
            datatype="str",
            type="array",
            label="Other judges beside this one; the score is the mean by share",
            column_count=len(judge_form.OTHER_COLUMNS),
            row_count=1,
            column_widths=["18%", "34%", "12%", "36%"],
            interactive=True,
            elem_id="other-judges",
            buttons=[],
        )


def _picture(side: str) -> gr.Image:
    return gr.Image(
        type="filepath",
        sources=["upload", "clipboard"],
        show_label=False,
        height=260,
        elem_id=f"test-{side}",
        buttons=[],
        image_mode=None,
    )


def _rubric(
    values: Mapping[str, Any], fields: dict[str, gr.components.Component]
) -> tuple[gr.Dropdown, gr.Code, gr.HTML, gr.Textbox, gr.Button]:
    with gr.Row(equal_height=False):
        shipped = gr.Dropdown(
            [(n.capitalize(), "" if n == "default" else n) for n in judge_form.rubric_names()],
            value=None,
            label="Begin from one that ships",
            elem_id="rubric-shipped",
            scale=1,
        )
        fields["judge_rubric"] = gr.Textbox(
            values["judge_rubric"],
            label="Rubric of the next session",
            placeholder="the default one",
            max_lines=1,
            elem_id="judge-rubric",
            scale=3,
        )
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=460):
            rubric = gr.Code(language="yaml", lines=18, max_lines=26, show_label=False, elem_id="rubric", buttons=[])
        with gr.Column(scale=2, min_width=320):
            checks = gr.HTML(apply_default_css=False, elem_id="rubric-checks")
            target = gr.Textbox(
                label="Save as",
                info="A file of yours; those that ship stay as they are",
                placeholder="my-rubric.yaml",
                max_lines=1,
                elem_id="rubric-target",
            )
            save = gr.Button("Save and use it", elem_id="rubric-save", size="sm", min_width=140)
    return shipped, rubric, checks, target, save


def used_by(name: str, kind: str) -> bool:
    """Whether a kind of judge has a use for a field."""
    return kind in SHOWN_BY.get(name, KINDS)


def needs_html(kind: str) -> str:
    """What a kind of judge needs, in a line."""
    return f'<p class="quiet">{esc(NEEDS.get(kind, ""))}</p>'


def told_html(view: SessionView | None, live: str = "") -> str:
    """What the open session found out about its judge: agreement with one's votes, flips, remarks.

    Args:
        live: what the votes say now, as HTML; they may have been cast after the report was written.
    """
    head = "<h2>The open session's judge</h2>"
    if view is None:
        return head + empty_html("No session is open.")
    try:
        found = read_json(view.folder / "report" / REPORT)
    except (StorageError, OSError):
        found = None
    if not isinstance(found, dict):
        return head + (
            live or empty_html("Its remarks come with the session's report. Your votes in Results check it.")
        )
    facts = [] if live else _agreement(found.get("agreement"), found.get("gate"))
    if isinstance(rate := found.get("flip_rate"), int | float):
        facts.append(f"it chose the other picture in the other order in {percent(rate)} of the pairs")
    if isinstance(seconds := found.get("seconds_per_picture"), int | float):
        facts.append(f"{seconds:.2g} s a picture")
    lines = "".join(f"<li>{esc(sentence(text))}</li>" for text in [*facts, *map(str, found.get("remarks") or [])])
    return head + live + (f'<ul class="remarks">{lines}</ul>' if lines else "")


def _agreement(found: object, gate: object) -> list[str]:
    if not isinstance(found, dict) or not found.get("votes"):
        return ["it was not checked by your eyes yet: vote in Results"]
    rate, low, high = (found.get(n) for n in ("rate", "low", "high"))
    if not (isinstance(rate, float) and isinstance(low, float) and isinstance(high, float)):
        return []
    interval = f"95 % interval {percent(low)} to {percent(high)}"
    reason = [str(gate["reason"])] if isinstance(gate, dict) and gate.get("reason") else []
    return [f"it agrees with your eyes in {percent(rate)} of {found['votes']} votes ({interval})", *reason]


def pair_choices(pairs: Sequence[tuple[Sample, Sample]]) -> list[tuple[str, int]]:
    """Pairs by their prompts and seeds, as a picker offers them."""
    return [(f"{a.prompt} · seed {a.seed}", i) for i, (a, _) in enumerate(pairs)]
