"""What the app's HTML is made of: escaping, addresses of pictures, and states in words. No Gradio."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from bracket.dataset.reading.media import VIDEO_SUFFIXES
from bracket.domain import Outcome, Problem, Sample, by_kind
from bracket.report.words import counted, duration, score
from bracket.session.view import SessionView, TrialView

_MOST = 50
"""Problems of one kind that are listed."""
_MARKS = {"error": "✗", "warning": "!", "info": "✓"}
_PHASES = {
    "starting": "Starting",
    "checks": "Checking",
    "prepare": "Preparing",
    "search": "Searching",
    "finals": "Finals",
    "confirmation": "Confirming",
    "report": "Writing the report",
}
_TIMED = ("checks", "prepare", "search", "finals", "confirmation")
"""Phases in which one wants to know how long it will take."""
_STATES = {"idle": "Ready", "stopping": "Stopping", "stopped": "Stopped", "done": "Done", "failed": "Failed"}
_OUTCOMES = {
    Outcome.OK: "done",
    Outcome.DIVERGED: "melted",
    Outcome.OUT_OF_MEMORY: "out of memory",
    Outcome.CRASHED: "crashed",
    Outcome.HUNG: "hung",
    Outcome.STOPPED: "stopped",
    Outcome.NO_SAMPLES: "drew nothing",
}


def esc(value: object) -> str:
    """Text for HTML, in content and in quoted attributes."""
    return escape(str(value), quote=True)


def file_url(path: Path) -> str:
    """The address under which the page gets a file of a session. Relative, so that it holds behind a proxy too."""
    return "gradio_api/file=" + quote(path.absolute().as_posix())


def middle(path: Path | str, length: int = 48) -> str:
    """A long path with its middle left out; the end says more than the beginning, so it keeps two thirds."""
    text = str(path)
    if len(text) <= length:
        return text
    head = (length - 1) // 3
    return f"{text[:head]}…{text[-(length - 1 - head) :]}"


def path_html(path: Path | str) -> str:
    """A shortened path that shows whole on hover."""
    return f'<span class="path" title="{esc(path)}">{esc(middle(path))}</span>'


def log_path_html(path: Path | None) -> str:
    """Where the log lies; a trial's can be opened whole."""
    if path is None:
        return ""
    whole = f' · <a href="{esc(file_url(path))}" target="_blank">open whole</a>' if path.name == "trainer.log" else ""
    return f'<p class="quiet">{path_html(path)}{whole}</p>'


def size(n: float) -> str:
    """Bytes in the unit that suits them: "512 MB", "1.2 GB"."""
    for unit in ("bytes", "kB", "MB"):
        if n < 1000:
            return f"{n:.0f} {unit}"
        n /= 1000
    return f"{n:.1f} GB"


def state_words(view: SessionView) -> str:
    """The session's state in one or two words; while it runs, what it runs."""
    if view.state == "running":
        return _PHASES.get(view.phase, "Running")
    return _STATES[view.state]


def progress_words(view: SessionView) -> str:
    """ "7 of 24 trials, about 12 min left"; until something was measured it says that."""
    if not view.planned:
        return ""
    words = f"{view.done} of {counted(view.planned, 'trial')}"
    if view.state != "running" or view.phase not in _TIMED:
        return words
    if view.eta is None:
        return f"{words}, measuring the time left"
    return f"{words}, about {duration(view.eta)} left" if view.eta >= 1 else f"{words}, longer than expected"


def page_title(view: SessionView | None) -> str:
    """The browser tab's title: progress first, because tabs are narrow."""
    if view is None:
        return "bracket"
    progress = f"{view.done}/{view.planned} " if view.state == "running" and view.planned else ""
    return f"{progress}{state_words(view)} · {view.name} · bracket"


def trial_state(trial: TrialView) -> str:
    """ "training 84/120", "judging", "melted"."""
    if trial.outcome is not None:
        return _OUTCOMES[trial.outcome]
    return f"training {trial.step}/{trial.steps}" if trial.state == "training" else trial.state


def trial_tone(trial: TrialView) -> str:
    """The colour a trial's state has: good, bad, busy or none."""
    if trial.outcome is Outcome.OK:
        return "good"
    if trial.outcome is not None:
        return "quiet" if trial.outcome is Outcome.STOPPED else "bad"
    return {"waiting": "quiet", "failed": "bad"}.get(trial.state, "busy")


def trial_score(trial: TrialView) -> str:
    """The score, 0 to 100, or a dash."""
    return score(trial.score.total if trial.score else None)


def reason(cause: str) -> str:
    """The first line of a failure's cause: what fits on a card."""
    return cause.strip().splitlines()[0] if cause.strip() else ""


def problem_html(problem: Problem) -> str:
    """One check: its mark, what was found, where, the remedy, and a button where the app can do it."""
    return f'<li class="{problem.level}">{_mark(problem)}<span>{_told(problem)}</span></li>'


def _told(problem: Problem) -> str:
    where = f" {path_html(problem.path)}" if problem.path else ""
    remedy = f' <span class="remedy">{esc(problem.remedy)}</span>' if problem.remedy else ""
    return f"{esc(sentence(problem.message))}{where}{remedy}{action_html(problem.action)}"


def _mark(problem: Problem) -> str:
    word = f'<span class="unseen">{problem.level}: </span>' if problem.level != "info" else ""
    return f'<span class="mark" aria-hidden="true">{_MARKS[problem.level]}</span>{word}'


def action_html(action: str) -> str:
    """The buttons for what the app can do, which the page's script knows; "" for nothing."""
    verb, _, rest = action.partition(" ")
    labels = {
        "install": (f"install {rest}", "Install it…"),
        "use": (f"use {rest}", "Use a folder you have…"),
        "weight": (action, "Name its place"),
        "set": (action, f"Set {rest.replace(' ', ' to ', 1)}"),
    }
    wanted = ["install", "use"] if verb == "install" else [verb]
    made = [labels[v] for v in wanted if v in labels]
    return "".join(f' <button type="button" class="do" data-do="{esc(do)}">{esc(label)}</button>' for do, label in made)


def problems_html(problems: Iterable[Problem]) -> str:
    """Checks as a list, those of one kind in one line with their count, which opens on a click; "" for none."""
    lines = "".join(problem_html(same[0]) if len(same) == 1 else _folded(same) for same in by_kind(problems))
    return f'<ul class="checks">{lines}</ul>' if lines else ""


def _folded(same: Sequence[Problem]) -> str:
    first, rest = same[0], len(same) - _MOST
    members = "".join(f"<li>{_told(p)}</li>" for p in same[:_MOST]) + (f"<li>and {rest} more</li>" if rest > 0 else "")
    return (
        f'<li class="{first.level}">{_mark(first)}<details><summary><b>{len(same)} ×</b> '
        f"{esc(sentence(first.message))}</summary><ul>{members}</ul></details></li>"
    )


def sentence(text: str) -> str:
    """With a capital letter at its head, unless its first word is a name written small (sd-scripts)."""
    first = text.partition(" ")[0].rstrip(":,")
    return text[:1].upper() + text[1:] if first.isalpha() else text


def empty_html(text: str) -> str:
    """What stands where there is nothing to show yet."""
    return f'<p class="empty">{esc(text)}</p>'


def picture(sample: Sample | None, words: str) -> str:
    """A sample that opens large on a click, or an empty frame of the same size."""
    if sample is None:
        return '<span class="frame"></span>'
    caption = f"{words} · {sample.prompt} · seed {sample.seed} · step {sample.step}"
    return frame_html(sample.path, alt=sample.prompt, large=caption, title=sample.prompt)


def frame_html(path: Path, *, alt: str = "", large: str = "", title: str = "") -> str:
    """A picture, or of a clip the frame in its middle; where `large` says what it is, a click opens it large."""
    src = esc(file_url(path))
    more = "".join(f' {name}="{esc(text)}"' for name, text in (("data-large", large), ("title", title)) if text)
    more += ' tabindex="0"' if large else ""
    if path.suffix.lower() in VIDEO_SUFFIXES:
        name = f' aria-label="{esc(alt)}"' if alt else ""
        return f'<video class="frame" muted playsinline preload="metadata" src="{src}"{name}{more}></video>'
    button = ' role="button"' if large and alt else ""
    return f'<img class="frame" loading="lazy" src="{src}" alt="{esc(alt)}"{button}{more}>'
