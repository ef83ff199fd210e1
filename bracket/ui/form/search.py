"""The part of Run that says how a search is made and how long it may take: budget, strategy, and what only some
strategies have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from bracket.report.words import duration
from bracket.search.pareto import OBJECTIVES
from bracket.session.job import Context
from bracket.session.planning import budget
from bracket.session.planning.plan import lacks
from bracket.ui.form import form
from bracket.ui.shared.format import esc

COUNTS = ("configs", "rungs", "finalists", "finals_seeds", "pairs")
"""The form's fields that the budget fills."""
TIMED = (*COUNTS, "steps", "finals_steps", "strategy", "reduction", "device")
"""Those that change how long a session takes."""
_STEPS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5)
"""Hours from one place of the slider to the next; of these the one that gives it about a hundred places."""


@dataclass(frozen=True)
class Way:
    """A strategy in plain words; `rungs` and `objectives` say which fields count for it."""

    title: str
    help: str
    rungs: bool = False
    objectives: bool = False


WAYS = {
    "tournament": Way(
        "Tournament: the better ones train on",
        "Everybody trains briefly, the better ones go on to longer rounds. The right one unless there is a reason.",
        rungs=True,
    ),
    "screen": Way(
        "Screen: everybody briefly, once",
        "Every config gets the length of a tournament's first rung, and the best go straight to the finals.",
        rungs=True,
    ),
    "tpe": Way(
        "TPE: learns as it goes",
        "Every config trains in full. After a third of them each new one is guessed from those before.",
    ),
    "random": Way(
        "Random settings", "Every config is drawn by chance and trains in full. What others are held against."
    ),
    "hyperband": Way(
        "Hyperband: many GPUs, several starts",
        "No rung waits for another. Some configs are spared the first comparisons, in case they begin slowly.",
        rungs=True,
    ),
    "asha": Way(
        "ASHA: many GPUs, nobody waits",
        "A config goes on as soon as it is among the better ones so far, so that no GPU stands still.",
        rungs=True,
    ),
    "nsga2": Way(
        "NSGA-II: two objectives",
        "Looks for the best trade between axes of the judge, such as likeness and adherence, by evolution.",
        objectives=True,
    ),
}


def build_budget() -> tuple[gr.Slider, gr.HTML]:
    """The slider and the line under it."""
    with gr.Column(elem_id="budget"):
        hours = gr.Slider(
            0,
            24,
            value=8,
            step=0.1,
            label="Budget in hours",
            info="Fills the numbers below; they move it in turn. Lengths stay as they are.",
            elem_id="hours",
            buttons=[],
        )
        pays = gr.HTML(apply_default_css=False, elem_id="pays")
    return hours, pays


def build_strategy(values: Mapping[str, Any]) -> dict[str, gr.components.Component]:
    """The dropdown with its line of help, and the fields that only count for some."""
    way = WAYS[values["strategy"]]
    choices = [(w.title, name) for name, w in WAYS.items()]
    strategy = gr.Dropdown(choices, value=values["strategy"], label="Strategy", elem_id="strategy")
    told = gr.HTML(_help(way), apply_default_css=False, elem_id="strategy-help")
    with gr.Row():
        rungs = gr.Number(
            values["rungs"],
            label=form.NUMBERS["rungs"][2],
            precision=0,
            minimum=1,
            visible=way.rungs,
            elem_id="rungs",
            min_width=120,
        )
        reduction = gr.Number(
            values["reduction"],
            label=form.REDUCTION,
            minimum=1,
            visible=way.rungs,
            elem_id="reduction",
            min_width=120,
        )
        objectives = gr.Textbox(
            values["objectives"],
            label="Objectives",
            info="Axes of the judge, parted by commas. Finalists are chosen by them first.",
            visible=way.objectives,
            elem_id="objectives",
            max_lines=1,
        )
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    strategy.change(_shown, [strategy, objectives], [told, rungs, reduction, objectives], **quiet)
    return {"strategy": strategy, "rungs": rungs, "reduction": reduction, "objectives": objectives}


def _shown(name: str, objectives: str) -> tuple[Any, ...]:
    """What a strategy's choice shows. Objectives that nobody typed come and go with it; others stay in sight, since
    they count."""
    way, own = WAYS[name], ", ".join(OBJECTIVES)
    given = form.text(objectives)
    kept = (given or own) if way.objectives else ("" if given == own else given)
    numbers = gr.update(visible=way.rungs)
    return _help(way), numbers, numbers, gr.update(value=kept, visible=bool(kept))


def _help(way: Way) -> str:
    return f'<p class="quiet">{esc(way.help)}</p>'


def bought(question: Context, hours: float) -> tuple[list[int], str]:
    """Values for `COUNTS` that so many hours pay for, and the line that says so.

    Raises:
        BracketError: the settings can't be planned.
    """
    fitted = budget.fit_here(question, hours)
    values = form.to_values(fitted.question.settings)
    return [values[name] for name in COUNTS], pays_html(_unsaid(question) or fitted.words)


def followed(question: Context, hours: float) -> tuple[Any, str]:
    """Updates for the slider and its line after the form changed: it stays where its hours pay for just this, and goes
    to what the plan takes otherwise.

    Raises:
        BracketError: the settings can't be planned.
    """
    fitted, unsaid = budget.fit_here(question, hours), _unsaid(question)
    if fitted.question.settings == question.settings:
        return gr.skip(), pays_html(unsaid or fitted.words)
    seconds = budget.seconds_here(question)
    end = budget.slider_end(seconds)
    step = max(step for step in _STEPS if step <= end / 90)
    words = unsaid or f"These numbers take about {duration(seconds)}."
    return gr.update(value=round(round(seconds / 3600 / step) * step, 3), maximum=end, step=step), pays_html(words)


def _unsaid(question: Context) -> str:
    """Why nothing is said of time; "" where it can be."""
    missing = lacks(question)
    return f"What hours pay for can't be said here: this needs {missing}, and none is seen." if missing else ""


def pays_html(words: str) -> str:
    return f'<p class="pays">{esc(words)}</p>' if words else ""
