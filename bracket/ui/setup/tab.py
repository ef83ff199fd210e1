"""Setup: what to train, on which pictures, judged by whom. Every field is checked as one types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from bracket.dataset import (
    KIND_CHOICES,
    KIND_WORDS,
    PromptChoice,
    buckets,
    check_dataset,
    read_description,
    scan,
    split,
    suggested_words,
)
from bracket.domain import Problem
from bracket.errors import BracketError
from bracket.presets import Preset, find_preset, list_presets
from bracket.report.words import counted
from bracket.trainers import bare_job, make_trainer
from bracket.ui.form import form
from bracket.ui.form import judge as judge_form
from bracket.ui.setup import picker, trainers
from bracket.ui.shared.context import said
from bracket.ui.shared.format import esc, problems_html
from bracket.ui.shared.relay import TYPED

_COUNTS = ("validation", "prompts", "verdict_prompts")
_KINDS = {"auto": "what the pictures seem to be", "none": "nothing: none are drawn"}


@dataclass(frozen=True)
class Setup:
    """The tab's parts. `fields` are those the form reads, `weights` the paths in the preset's order.

    What is said of the judge is filled by the Judge tab's events, which know its other fields.
    """

    fields: dict[str, gr.components.Component]
    weights: list[gr.Textbox]
    demo: gr.Button
    welcome: gr.HTML
    pictures: gr.HTML
    judge_needs: gr.HTML
    judge_checks: gr.HTML
    draft: gr.Button
    drafted: gr.HTML


def build() -> Setup:
    """The tab with its checks."""
    presets = list_presets()
    first = presets[0]
    most = max(len(p.weights) for p in presets)
    values = form.default_values(first)
    fields: dict[str, gr.components.Component] = {}
    with gr.Row(elem_id="welcome"):
        welcome = gr.HTML(apply_default_css=False)
        demo = gr.Button("Start the demo", variant="primary", elem_id="demo", min_width=140, scale=0)
    with gr.Row(elem_classes="step"):
        gr.HTML(_heading(1, "Model", "what to train"), apply_default_css=False, elem_classes="heading")
        with gr.Column():
            fields["preset"] = picker.build(presets)
            about = gr.HTML(_about(first), apply_default_css=False)
            weights = [
                gr.Textbox(label="Weights", visible=False, elem_id=f"weight-{i}", max_lines=1) for i in range(most)
            ]
        weight_checks = gr.HTML(apply_default_css=False, elem_classes="found")
    with gr.Row(elem_classes="step"):
        gr.HTML(_heading(2, "Pictures", "what to learn"), apply_default_css=False, elem_classes="heading")
        with gr.Column():
            fields["folder"] = gr.Textbox(
                label="Folder of pictures with captions, or a dataset TOML; several, one a line",
                elem_id="folder",
                max_lines=4,
                placeholder="Images with a .txt each, kohya's img/10_word class/, or a dataset.toml",
            )
            with gr.Row():
                fields["trigger_word"] = gr.Textbox(
                    label="Trigger word", info="The new concept's name in captions", elem_id="trigger", max_lines=1
                )
                fields["class_word"] = gr.Textbox(
                    label="Class word", info="What a judge that never heard of it is told", elem_id="class", max_lines=1
                )
            with gr.Accordion("How the folder is split", open=False), gr.Row():
                for name in ("validation", "prompts", "verdict_prompts", "plain_prompts", "per_folder"):
                    fields[name] = gr.Number(
                        values[name],
                        label=form.NUMBERS[name][2],
                        precision=0,
                        minimum=0,
                        elem_id=name.replace("_", "-"),
                    )
            own, draft, drafted = _prompts(values)
            fields |= own
        pictures = gr.HTML(apply_default_css=False, elem_classes="found", elem_id="pictures-found")
    with gr.Row(elem_classes="step"):
        gr.HTML(_heading(3, "Judge", "who looks at the results"), apply_default_css=False, elem_classes="heading")
        with gr.Column():
            kinds = [(title, name) for name, title in judge_form.KINDS.items()]
            fields["judge"] = gr.Radio(kinds, value=values["judge"], label="Judge", elem_id="judge")
            fields["judge_model"] = gr.Textbox(
                value=values["judge_model"],
                label="Its model",
                info=judge_form.MODEL[values["judge"]],
                elem_id="judge-model",
                max_lines=1,
            )
            judge_needs = gr.HTML(
                f'<p class="quiet">{esc(judge_form.NEEDS[values["judge"]])}</p>', apply_default_css=False
            )
        judge_checks = gr.HTML(apply_default_css=False, elem_classes="found")
    with gr.Row(elem_classes="step"):
        gr.HTML(_heading(4, "Trainer", "what trains"), apply_default_css=False, elem_classes="heading")
        with gr.Column():
            gr.HTML("<p>The preset says which one; it runs in processes of its own.</p>", apply_default_css=False)
            theirs = trainers.build()
        trainer = gr.HTML(apply_default_css=False, elem_classes="found")

    made = Setup(fields, weights, demo, welcome, pictures, judge_needs, judge_checks, draft, drafted)
    _wire(made, about, weight_checks, trainer)
    # A trainer that was got just now mends what its preset lacked.
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    theirs.status.change(_preset_found, fields["preset"], [about, trainer], **quiet)
    return made


def _prompts(values: Mapping[str, Any]) -> tuple[dict[str, gr.components.Component], gr.Button, gr.HTML]:
    """The box of a person's own prompts, and which of bracket's join them; what has the judge write some, and how it
    goes."""
    fields: dict[str, gr.components.Component] = {}
    with gr.Accordion("Prompts of your own", open=False):
        fields["own_prompts"] = gr.Textbox(
            label="Prompts of your own, one a line",
            info="They join prompts.txt and verdict_prompts.txt; {{trigger}} stands for the trigger word",
            lines=3,
            max_lines=8,
            elem_id="own-prompts",
        )
        with gr.Row(elem_classes="draft"):
            draft = gr.Button("Have the judge write some", size="sm", elem_id="draft", min_width=200, scale=0)
            drafted = gr.HTML(apply_default_css=False, elem_id="drafted")
        with gr.Row():
            fields["use_for"] = gr.Radio(
                [("search", "search"), ("verdict", "verdict"), ("both, half each", "both")],
                value=values["use_for"],
                label="Use them for",
                elem_id="use-for",
            )
            fields["kind"] = gr.Dropdown(
                [(_KINDS.get(kind) or KIND_WORDS[kind], kind) for kind in KIND_CHOICES],
                value=values["kind"],
                label="bracket's own prompts are for",
                elem_id="kind",
            )
    return fields, draft, drafted


def _wire(s: Setup, about: gr.HTML, weight_checks: gr.HTML, trainer: gr.HTML) -> None:
    """Every check runs when the page opens and whenever one of its fields changes (that is what no triggers means)."""
    f = s.fields
    gr.on(None, _weights_found, [f["preset"], *s.weights], weight_checks, **TYPED)
    words = ("preset", "folder", "trigger_word", "class_word", "own_prompts", "use_for", "kind")
    seen = [f[n] for n in (*words, *_COUNTS, "plain_prompts")]
    gr.on(None, _pictures_found, seen, s.pictures, **TYPED)
    suggested = [f[n] for n in ("trigger_word", "class_word")]
    f["folder"].change(_words_suggested, [f["folder"], *suggested], suggested, **TYPED)
    gr.on(None, _preset_found, [f["preset"]], [about, trainer], **TYPED)


def _preset_found(name: str) -> tuple[str, str]:
    preset = find_preset(name)
    return _about(preset), trainer_html(preset)


def weight_updates(preset: Preset, given: Mapping[str, str], count: int) -> list[Any]:
    """What the weight fields become for a preset: one for each of its weights, the rest hidden."""
    updates = [
        gr.update(visible=True, label=spec.label, value=given.get(spec.key) or preset.default_weight(spec))
        for spec in preset.weights
    ]
    return updates + [gr.update(visible=False, value="") for _ in range(count - len(updates))]


def weights_given(preset: Preset, paths: Sequence[object]) -> dict[str, str]:
    """The weight fields as the preset's keys to paths."""
    return {spec.key: form.text(path) for spec, path in zip(preset.weights, paths, strict=False)}


def _weights_found(name: str, *paths: str) -> str:
    preset = find_preset(name)
    return problems_html(preset.check_weights(weights_given(preset, paths)))


def trainer_html(preset: Preset) -> str:
    """Whether the preset's trainer can run here, as its adapter says of a job with nothing in it."""
    found = make_trainer(preset.trainer).check(bare_job(preset))
    return problems_html(found or [Problem("info", "Everything it needs is installed")])


def _pictures_found(
    name: str, folder: str, trigger: str, class_word: str, own: str, use_for: Any, kind: Any, *numbers: Any
) -> str:
    if not form.text(folder):
        return '<p class="empty">No folder yet.</p>'
    try:
        *counts, plain = (int(n or 0) for n in numbers)
        choice = PromptChoice(kind, form.own_prompts(own), use_for, plain)
        preset = find_preset(name)
        return pictures_html(form.text(folder), preset, form.text(trigger), counts, form.text(class_word), choice)
    except BracketError as error:
        return f'<ul class="checks"><li class="error"><span class="mark">✗</span><span>{said(error)}</span></li></ul>'


def _words_suggested(folder: str, trigger: str, class_word: str) -> list[Any]:
    """The words that kohya's folders are named after, where nobody wrote any yet."""
    if form.text(trigger) or form.text(class_word) or not form.text(folder):
        return [gr.skip(), gr.skip()]
    try:
        found = suggested_words(read_description(form.text(folder)).sources)
    except BracketError:  # said where the pictures are
        return [gr.skip(), gr.skip()]
    return [word or gr.skip() for word in found]


def pictures_html(
    folder: Path | str,
    preset: Preset,
    trigger: str,
    counts: Sequence[int],
    class_word: str = "",
    choice: PromptChoice = PromptChoice(),
) -> str:
    """What a folder holds and how it would be used.

    Args:
        counts: the most pictures or prompts for validation, search and verdict.

    Raises:
        DatasetError: the folder is missing or can't be read.
    """
    seen = scan(folder, trainer=preset.trainer)
    resolution = int(str(preset.fixed.get("data.resolution", 512)))
    most = dict(zip(("validation", "prompts", "verdict"), counts, strict=True))
    made = split(seen, **most, trigger_word=trigger, class_word=class_word, choice=choice)
    sizes = buckets(seen.pictures, resolution) if seen.pictures else {}
    missing = len(seen.pictures) - seen.captioned
    facts = [
        counted(len(seen.pictures), "image"),
        counted(seen.captioned, "caption"),
        f"{missing} missing",
        f'<span title="{esc(", ".join(f"{w} × {h}: {n}" for (w, h), n in sizes.items()))}">'
        f"{counted(len(sizes), 'bucket')}</span>",
        f"{len(made.validation)} held out",
        f"{counted(len(made.prompts), 'prompt')} for the search",
        f"{len(made.verdict_prompts)} for the verdict",
        *([esc(f"bracket's own are for {KIND_WORDS[made.kind]}")] if made.kind else []),
    ]
    problems = check_dataset(folder, trigger_word=trigger, resolution=resolution, trainer=preset.trainer)
    return f'<p class="facts">{" · ".join(facts)}</p>{problems_html(problems)}'


def welcome_html(sessions: int) -> str:
    """The first line of the first tab."""
    if sessions:
        return "<p>Choose a session above to look at it, or set up a new one here.</p>"
    return (
        "<p><strong>No session yet.</strong> Start the demo, or choose a folder. The demo trains a tiny model on this "
        "machine, compares its settings and says which ones won, in minutes.</p>"
    )


def _about(preset: Preset) -> str:
    return f'<p class="quiet">{esc(preset.about.strip())}</p>'


def _heading(number: int, name: str, what: str) -> str:
    return f'<h2><span class="number">{number}</span>{esc(name)}</h2><p class="quiet">{esc(what)}</p>'
