"""One trial, looked at: what lies over the page after a click on its card. Fetched when it is asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import gradio as gr

from bracket.domain import Config, Round
from bracket.errors import SettingsError
from bracket.report.words import counted, fixed, judged, knob_title, knob_value, score
from bracket.search.rungs import key
from bracket.session.view import SessionView, TrialView
from bracket.ui.shared import gallery
from bracket.ui.shared.context import TROUBLE, Context, said
from bracket.ui.shared.format import empty_html, esc, log_path_html, reason, trial_state, trial_tone
from bracket.ui.shared.loss_chart import chart
from bracket.ui.shared.outcome import sealed_html
from bracket.ui.shared.theme import script
from bracket.ui.views import booth as vote

COMMANDS = ("command.sh", "command.bat")
_FRAME = """
<div class="top">
  <div class="title"><h2 id="look-title"></h2><p class="quiet facts"></p><nav></nav></div>
  <button type="button" class="close" aria-label="Close">Close <kbd>Esc</kbd></button>
</div>
<div class="pictures"></div>
"""


def build(context: Context) -> None:
    """The overlay, closed. Anything on the page opens it by the window's event `bracket-look` with a session and a
    trial."""

    def look(asked: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return told(context.read(str(asked["session"])), str(asked["trial"]))
        except TROUBLE as error:
            return {"title": "That trial can't be shown", "pictures": f"<p>{said(error)}</p>"}

    with gr.Column(elem_id="look"):
        gr.HTML(
            html_template=_FRAME,
            js_on_load=script("monitor/trial.js"),
            server_functions=[look],
            elem_id="look-top",
            apply_default_css=False,
        )
        chart(context.read, "look-loss", "No loss yet: curves appear with its first steps.")
        gr.HTML(elem_id="look-facts", apply_default_css=False)


def told(view: SessionView, trial_id: str) -> dict[str, Any]:
    """Everything about one trial, as the overlay's parts of HTML; `curves` are those drawn with it.

    Raises:
        SettingsError: the session has no such trial.
    """
    trial = next((t for t in view.trials if t.id == trial_id), None)
    if trial is None:
        raise SettingsError(f"this session has no trial {trial_id!r}", path=view.folder, remedy="Choose another one.")
    baseline = next((t for t in view.trials if t.origin == "baseline"), None)
    beside = next((t for t in view.trials if t.origin == "baseline" and _alike(t, trial)), None)
    return {
        "title": esc(trial.label),
        "facts": _facts_html(trial),
        "siblings": _siblings_html(view, trial),
        "pictures": _pictures_html(trial, sealed=vote.sealed(view, [trial])),
        "curves": _curves(trial, beside),
        "more": _more_html(trial, baseline),
        "ended": trial.outcome is not None,
    }


def _curves(trial: TrialView, beside: TrialView | None) -> list[str]:
    return [trial.id] if beside is None or beside.id == trial.id else [trial.id, beside.id]


def _alike(one: TrialView, other: TrialView) -> bool:
    return (one.round, one.rung, one.seed) == (other.round, other.rung, other.seed)


def _facts_html(trial: TrialView) -> str:
    tone = f'<span class="tone {trial_tone(trial)}">{esc(trial_state(trial))}</span>'
    return f"{tone} · {esc(trial.id)} · {esc(trial.origin)} · {trial.steps} steps · seed {trial.seed}"


def _siblings_html(view: SessionView, trial: TrialView) -> str:
    """The same settings in other rungs and with other seeds."""
    found = [t for t in view.trials if key(t.config) == key(trial.config)]
    if len(found) < 2:
        return ""
    return "".join(
        f'<button type="button" data-look="{esc(t.id)}"{" aria-current=true" if t is trial else ""}>'
        f"{esc(_where(t))}</button>"
        for t in found
    )


def _where(trial: TrialView) -> str:
    if trial.round is Round.SEARCH:
        return f"{trial.steps} steps"
    return f"{'finals' if trial.round is Round.FINALS else 'duel'}, seed {trial.seed}"


def _pictures_html(trial: TrialView, *, sealed: bool) -> str:
    if trial.samples:
        grid = gallery.grid(gallery.by_step(trial.samples), gallery.prompts_of(trial.samples))
        return sealed_html("Pictures of the duel", grid) if sealed else grid
    when = "they are drawn when it has trained" if trial.outcome is None else reason(trial.cause) or "it drew none"
    return empty_html(f"No pictures: {when}.")


def _more_html(trial: TrialView, baseline: TrialView | None) -> str:
    """Settings on the left; score, notes, failure and command on the right."""
    right = _score_html(trial) + _notes_html(trial) + _cause_html(trial) + _command_html(trial)
    settings = settings_html(trial.config, baseline.config if baseline else trial.config)
    return f'<div class="more"><section><h3>Settings</h3>{settings}</section><section>{right}</section></div>'


def settings_html(config: Config, baseline: Config) -> str:
    """Every setting beside the baseline's; what differs is bold."""
    rows = "".join(_setting(name, config, baseline) for name in config)
    differ = sum(config[n] != baseline.get(n) for n in config)
    told = "as the baseline" if not differ else f"{counted(differ, 'setting')} unlike the baseline's"
    return (
        f'<p class="quiet">{told}</p><table class="settings"><thead><tr><th>Setting</th><th>Here</th><th>Baseline</th>'
        f"</tr></thead><tbody>{rows}</tbody></table>"
    )


def _setting(name: str, config: Config, baseline: Config) -> str:
    here = esc(knob_value(name, config[name]))
    other = esc(knob_value(name, baseline[name])) if name in baseline else ""
    if here != other:
        return f'<tr class="differs"><td>{esc(knob_title(name))}</td><td><b>{here}</b></td><td>{other}</td></tr>'
    return f"<tr><td>{esc(knob_title(name))}</td><td>{here}</td><td>{other}</td></tr>"


def _score_html(trial: TrialView) -> str:
    if trial.score is None and not trial.axes:
        return ""
    s, rows = trial.score, ""
    if s is not None:
        loss = trial.validation_loss
        held = f", held-out loss {fixed(loss)}" if loss is not None and math.isfinite(loss) else ""
        rows = f"<p><b>{score(s.total)}</b> <span class='quiet'>of 100; judged {score(s.sample_part)}, "
        rows += f"by loss {score(s.loss_part)}{held}</span></p>"
    axes = "".join(
        f'<tr><th scope="row">{esc(name.replace("_", " "))}</th><td><span class="level"><i style="width:'
        f'{max(0.0, min(1.0, value)) * 100:.0f}%"></i></span><b>{judged(value)}</b></td></tr>'
        for name, value in trial.axes.items()
    )
    table = f'<table class="axes"><tbody>{axes}</tbody></table>' if axes else ""
    title = '<p class="quiet">What the judge says of its pictures, from 0 to 100</p>' if axes else ""
    return f"<h3>Score</h3>{rows}{title}{table}"


def _notes_html(trial: TrialView) -> str:
    notes = "".join(f"<li>{esc(note)}</li>" for note in trial.notes)
    return f'<h3>Notes</h3><ul class="remarks">{notes}</ul>' if notes else ""


def _cause_html(trial: TrialView) -> str:
    log = log_path_html(trial.folder / "logs" / "trainer.log")
    if not trial.cause:
        return f"<h3>Log</h3>{log}"
    return f'<h3>Why it failed</h3><pre class="cause">{esc(trial.cause)}</pre>{log}'


def _command_html(trial: TrialView) -> str:
    """The command as it was run, once it was."""
    path = next((trial.folder / name for name in COMMANDS if (trial.folder / name).exists()), None)
    if path is None:
        return '<h3>Command</h3><p class="quiet">It stands here once the trial is launched.</p>'
    text = path.read_text(encoding="utf-8", errors="replace")
    return (
        '<h3>Command <button type="button" class="copy">Copy</button></h3>'
        f'<pre class="command" tabindex="0">{esc(text)}</pre>'
    )
