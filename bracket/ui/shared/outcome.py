"""What a session came to, gathered for Results: the winner, its command, before and after, and the table of trials."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bracket.dataset.reading.media import VIDEO_SUFFIXES
from bracket.domain import Config, Outcome, Round, Sample, Trial, TrialResult
from bracket.errors import StorageError
from bracket.files import read_json
from bracket.report.words import knob_title, knob_value, score
from bracket.session.job import BEFORE
from bracket.session.running.stages import duellists
from bracket.session.running.summarise import ARGV
from bracket.session.store import FILE as LEDGER_FILE
from bracket.session.view import SessionView, TrialView, drawn
from bracket.ui.shared import gallery
from bracket.ui.shared.format import esc, file_url, reason, size, trial_state

TABLE = (
    "Trial",
    "Round",
    "Settings",
    "Seed",
    "Steps",
    "State",
    "Score",
    "Judged",
    "By loss",
    "Held-out loss",
    "Reason",
)
TABLE_TYPES = ("str", "str", "str", "number", "number", "str", "number", "number", "number", "number", "str")
MOST_ROWS = 1_000
"""Trials that the table shows and that can be picked: a browser is slow with more."""

_SEALED = (
    '<details class="sealed"><summary>{} <span>folded until you have voted on them with your own eyes</span></summary>'
    "{}</details>"
)


@dataclass(frozen=True)
class Duellists:
    """Winner and baseline of the finals: a trial of each with the same training seed, where there is one."""

    winner: TrialView
    baseline: TrialView

    @property
    def same(self) -> bool:
        """The baseline itself won."""
        return self.winner.origin == "baseline"


def duel_of(view: SessionView) -> Duellists | None:
    """The two that the finals leave, chosen as the session chooses them; None before there are any."""
    finals = {t.id: t for t in view.trials if t.round is Round.FINALS and t.outcome is not None}
    found = duellists([_result(t) for t in finals.values()])
    if found is None:
        return None
    winner, baseline = ([finals[r.trial.id] for r in ranked.results if r.score is not None] for ranked in found)
    seeds = {t.seed for t in winner} & {t.seed for t in baseline}
    seed = min(seeds) if seeds else None
    first, second = (next((t for t in arm if t.seed == seed), arm[0]) for arm in (winner, baseline))
    return Duellists(first, second)


def _result(trial: TrialView) -> TrialResult:
    plain = Trial(trial.id, trial.round, trial.origin, trial.config, trial.seed, trial.steps, trial.folder)
    return TrialResult(plain, trial.outcome or Outcome.STOPPED, score=trial.score)


def before_after_html(view: SessionView, duel: Duellists | None, *, sealed: bool = False) -> str:
    """The fresh prompts of the duel, or until it was fought the search's prompts; base, baseline and winner as rows.

    Args:
        sealed: the fresh ones stay folded, for a person who is still to vote on them without knowing whose they are.
    """
    if duel is None:
        return ""
    fresh = {name: drawn(view.folder, f"confirm/{name}") for name in ("baseline", "winner")}
    arms = [("baseline", duel.baseline), (f"winner: {duel.winner.label}", duel.winner)]
    html = ""
    if all(fresh.values()) and not duel.same:
        rows = [(label, gallery.newest(fresh[name])) for (label, _), name in zip(arms, fresh, strict=True)]
        grid = gallery.grid(rows, gallery.prompts_of(fresh["winner"]))
        html += sealed_html("On fresh prompts", grid) if sealed else f"<h2>On fresh prompts</h2>{grid}"
    rows = [(label, gallery.newest(trial.samples)) for label, trial in arms[: 1 if duel.same else 2]]
    base = drawn(view.folder, BEFORE)
    if base:
        rows.insert(0, ("the base, untrained", gallery.newest(base)))
    columns = gallery.prompts_of(s for _, found in rows for s in found.values())
    return html + "<h2>Before and after</h2>" + gallery.grid(rows, columns)


def sealed_html(title: str, pictures: str) -> str:
    """Pictures that say whose they are, folded for a person who is still to vote on them."""
    return _SEALED.format(esc(title), pictures)


def winner_html(duel: Duellists | None) -> str:
    """The winner's settings beside the baseline's, what differs in bold."""
    if duel is None:
        return ""
    rows = "".join(_setting(name, duel.winner.config, duel.baseline.config) for name in duel.winner.config)
    return (
        '<table class="settings"><thead><tr><th>Setting</th><th>Winner</th><th>Baseline</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _setting(name: str, winner: Config, baseline: Config) -> str:
    value, other = (esc(knob_value(name, c[name])) for c in (winner, baseline))
    shown = f"<b>{value}</b>" if value != other else value
    return f"<tr><td>{esc(knob_title(name))}</td><td>{shown}</td><td>{other}</td></tr>"


def downloads_html(view: SessionView, duel: Duellists | None) -> str:
    """Links to what the finals left: the winner's file first, then those of the other finalists, each one once."""
    if duel is None:
        return ""
    files: dict[str, str] = {}
    for trial in (duel.winner, *(t for t in view.trials if t.round is Round.FINALS)):
        if file := weights_file(trial):
            label = "baseline" if trial.origin == "baseline" else trial.label
            name = f"winner: {label}" if trial is duel.winner else label
            files.setdefault(str(dict(trial.config)), _download(name, file))
    links = [*files.values()]
    if not links:
        return ""
    more = f"<details><summary>Other finalists</summary><ul>{''.join(links[1:])}</ul></details>" if links[1:] else ""
    return f'<h2>Files</h2><ul class="downloads">{links[0]}</ul>{more}'


def _download(name: str, file: Path) -> str:
    told = size(file.stat().st_size)
    return f'<li><a href="{esc(file_url(file))}" download>{esc(name)}</a> <span class="quiet">{told}</span></li>'


def weights_file(trial: TrialView) -> Path | None:
    """The one safetensors file of a trial's checkpoint, if it is still there."""
    place = trial.checkpoint
    if place is None:
        return None
    found = [place] if place.suffix == ".safetensors" else sorted(place.glob("*.safetensors"))
    return found[0] if len(found) == 1 and found[0].is_file() else None


def command_text(folder: Path, duel: Duellists | None) -> str:
    """The command that trains the winner in full, once the report has written its config; "" before."""
    path = folder / "winner" / ARGV
    if duel is None or not path.exists():
        return ""
    try:
        return shlex.join(map(str, read_json(path)["argv"]))
    except (StorageError, KeyError, TypeError):  # the report writes it anew
        return ""


def table_rows(view: SessionView) -> list[list[object]]:
    """One row a trial, failures included, in the order they began; of very many only the best: the longest trials
    first, among those of one length the better first."""
    return [_row(t) for t in (view.trials if len(view.trials) <= MOST_ROWS else _best_first(view.trials)[:MOST_ROWS])]


def table_title(view: SessionView | None) -> str:
    """The table's heading, and how many trials are not in it."""
    title, trials = "<h2>All trials</h2>", len(view.trials) if view else 0
    if trials <= MOST_ROWS:
        return title
    return (
        f'{title}<p class="quiet">The best {MOST_ROWS:,} of {trials:,}: the longest trials first, then the better. '
        f"All of them are in the session's {LEDGER_FILE}.</p>"
    )


def _best_first(trials: Sequence[TrialView]) -> list[TrialView]:
    order = {round_: place for place, round_ in enumerate(Round)}
    return sorted(trials, key=lambda t: (-order[t.round], -t.rung, t.score.total if t.score else math.inf))


def _row(t: TrialView) -> list[object]:
    parts = (t.score.total, t.score.sample_part, t.score.loss_part) if t.score else (math.nan,) * 3
    told = [round(100 * (1 - part), 1) if math.isfinite(part) else None for part in parts]
    loss = None if t.validation_loss is None or not math.isfinite(t.validation_loss) else round(t.validation_loss, 4)
    return [t.id, t.round.value, t.label, t.seed, t.steps, trial_state(t), *told, loss, reason(t.cause)]


def compare_choices(view: SessionView) -> list[tuple[str, str]]:
    """Trials with pictures, best first within their round, the latest round first; of very many the first."""
    drawn = [t for t in view.trials if t.samples]
    order = list(Round)
    drawn.sort(key=lambda t: (-order.index(t.round), t.score.total if t.score else math.inf))
    shown = drawn[:MOST_ROWS]
    return [(f"{t.id} · {t.label} · {score(t.score.total) if t.score else trial_state(t)}", t.id) for t in shown]


def compare_html(trials: Sequence[TrialView]) -> str:
    """The chosen trials' newest pictures side by side for each prompt."""
    rows: list[tuple[str, Mapping[tuple[str, int], Sample]]] = [
        (f"{t.id} · {t.label}", gallery.newest(t.samples)) for t in trials
    ]
    return gallery.grid(rows, gallery.prompts_of(s for _, found in rows for s in found.values()))


def slider_pair(trials: Sequence[TrialView], prompt: str) -> tuple[str, str] | None:
    """The first two trials' pictures of a prompt, None when one of them has none, or a clip."""
    found = [next((s for s in gallery.newest(t.samples).values() if s.prompt == prompt), None) for t in trials[:2]]
    if len(found) < 2 or found[0] is None or found[1] is None:
        return None
    if any(s and s.path.suffix.lower() in VIDEO_SUFFIXES for s in found):
        return None
    return str(found[0].path), str(found[1].path)
