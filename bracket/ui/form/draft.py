"""The form as a person left it, kept in the browser until it is started, so that a reload loses nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from bracket.errors import BracketError
from bracket.presets import find_preset
from bracket.ui.form import form

TOLD = "The form is as you left it."
NOTHING = "nothing"
"""A draft that is none: a browser's state that became null or empty is not written down."""
FORGET = f"() => {{ window.bracketEdited = false; window.bracketForgotten = true; return '{NOTHING}'; }}"
"""JavaScript for an event with the draft as its output, after which the form is nobody's work any more."""
SETTLE = "(kept) => { window.bracketEdited = !!kept?.preset; window.bracketForgotten = !kept?.preset; }"
"""JavaScript for an event that may have taken the draft away, with the draft as its input."""


def state(runs: Path) -> gr.BrowserState:
    """Where the browser keeps it: one for each folder of sessions."""
    key = hashlib.sha256(str(runs).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return gr.BrowserState(None, storage_key=f"bracket-draft-{key}", secret="bracket-draft")


def keep(fields: Mapping[str, Any], draft: gr.BrowserState) -> None:
    """The events that keep it, all in the browser: what is filled in is no draft until a person changed something."""
    names, parts = json.dumps(list(fields)), list(fields.values())
    made = f"Object.fromEntries({names}.map((n, i) => [n, v[i]]))"
    quiet: dict[str, Any] = {"show_progress": "hidden"}
    # One event, not two: what was pasted arrives in a single one.
    edited = f"(...v) => {{ window.bracketEdited = true; window.bracketForgotten = false; return {made}; }}"
    gr.on([p.input for p in parts], None, parts, draft, js=edited, **quiet)
    # What a late event still holds of a draft that was forgotten meanwhile must not bring it back.
    forgotten = f"window.bracketForgotten ? '{NOTHING}' : v[{len(parts)}]"
    filled = f"(...v) => window.bracketEdited ? {made} : {forgotten}"
    gr.on([p.change for p in parts], None, parts, draft, js=filled, **quiet)


def restored(kept: object, fields: Mapping[str, Any]) -> tuple[dict[str, Any], int] | None:
    """The form's values from a draft, and how many of it no longer fit and are as suggested; None without a draft."""
    if not isinstance(kept, dict):
        return None
    try:
        preset = find_preset(str(kept.get("preset")))
    except BracketError:  # of a folder of presets that is gone
        return None
    values = form.default_values(preset)
    left = 0
    for name, field in fields.items():
        given = kept.get(name)
        if isinstance(field, gr.Dataframe) and isinstance(given, dict):
            given = given.get("data")
        if _fits(field, given) and (name != "knobs" or [row[0] for row in given or ()] == list(preset.knobs)):
            values[name] = given
        elif name in kept:
            left += 1
    return values, left


def _fits(field: Any, given: Any) -> bool:
    """Whether a field can show a value."""
    if isinstance(field, gr.Checkbox):
        return isinstance(given, bool)
    if isinstance(field, gr.Number | gr.Slider):
        return isinstance(given, int | float) or (given is None and isinstance(field, gr.Number))
    if isinstance(field, gr.Dropdown | gr.Radio) and not getattr(field, "allow_custom_value", False):
        return given in [value for _, value in field.choices]
    if isinstance(field, gr.Dataframe):
        rows = given if isinstance(given, list) else [None]
        return all(isinstance(row, list) and len(row) == len(field.headers or ()) for row in rows)
    return isinstance(given, str)
