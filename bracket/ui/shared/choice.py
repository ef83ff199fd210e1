"""Fields that never refuse what the page sends: whoever gets the value checks it against what there is now.

Gradio holds a value against the choices and limits it sent last, and answers with an error before any handler is asked.
Ours change under an open page (trials begin, sessions go), and one such field would freeze the page. Its classes are
changed rather than derived from, for it writes a file beside every class that is derived from one.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

_Value = str | int | float


def tolerate() -> None:
    """From now on every dropdown, radio, number and slider gives its value as shown."""
    for field in (gr.Dropdown, gr.Radio, gr.CheckboxGroup):
        field.preprocess = _shown
    gr.Number.preprocess = _number
    gr.Slider.preprocess = _kept


def _shown(field: Any, payload: Any) -> Any:
    """What is shown, if it is of a kind that a choice can be at all; else nothing."""
    if getattr(field, "multiselect", isinstance(field, gr.CheckboxGroup)):
        return [value for value in payload if isinstance(value, _Value)] if isinstance(payload, list) else []
    return payload if isinstance(payload, _Value) else None


def _number(field: gr.Number, payload: Any) -> float | int | None:
    """The limits guide the browser; whoever reads the form checks them, in words that name the field."""
    return field.round_to_precision(payload, field.precision) if isinstance(payload, int | float) else None


def _kept(field: gr.Slider, payload: Any) -> float:
    """A value within the limits that the slider has now."""
    value = payload if isinstance(payload, int | float) else field.minimum
    return float(gr.Number.round_to_precision(min(field.maximum, max(field.minimum, value)), field.precision))
