"""What the command line prints, as lines of plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from bracket.domain import Problem, Round, by_kind
from bracket.presets import Preset
from bracket.report.sections.mattered import space_words
from bracket.report.sections.undecided import why_undecided
from bracket.report.summary import Summary
from bracket.report.words import counted, duration, score
from bracket.session.planning.next_space import NextSpace
from bracket.session.planning.plan import Plan, PlannedRound
from bracket.session.reading import duel as duel_view
from bracket.session.shelf import Here, grouped
from bracket.session.view import SessionLine, SessionView, TrialView
from bracket.stats import short_sentence


def session_lines(found: Sequence[SessionLine]) -> list[str]:
    if not found:
        return ["No session yet. Start the demo with `demo`, or your own with `run`."]
    width = max(len(s.name) for s in found)
    return [f"{s.name:<{width}}  {s.state:<8}  {datetime.fromtimestamp(s.modified):%Y-%m-%d %H:%M}" for s in found]


def status_lines(session: SessionView) -> list[str]:
    """The session's state, then a line per trial."""
    left = f", about {duration(session.eta)} left" if session.eta else ""
    counts = f"{session.phase or 'not begun'}, {session.done}/{session.planned} trials"
    head = f"{session.name}: {session.state}, {counts}{left}"
    lines = [head, session.message] if session.message else [head]
    fought = duel_view.read(session)
    lines += [f"The duel: {duel_view.line(fought)}"] if fought else []
    lines += [_trial_line(t) for t in session.trials]
    if session.verdict:
        lines += ["", session.verdict.replace("**", "")]
    if session.report:
        lines.append(f"Report: {session.report}")
    return lines


def _trial_line(trial: TrialView) -> str:
    told = f"score {score(trial.score.total)}" if trial.score else trial.cause.partition("\n")[0][:80]
    return f"  {trial.id:<17} {trial.state:<10} {trial.step:>5}/{trial.steps:<5} {trial.label:<36} {told}"


def preset_lines(found: Sequence[Here]) -> list[str]:
    """A line per preset, the models one after another: its name, what it needs, and what is here."""
    rows = [(h.preset.name, h.preset.title, h.needs.rpartition(" · ")[0], h.lacks) for h in grouped(found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    return ["  ".join([*(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=False)), row[-1]]) for row in rows]


def preset_details(preset: Preset) -> list[str]:
    """One preset: what it is, what it needs and whether that is there, and its knobs."""
    lines = [preset.title, preset.about.strip(), "", "Needs:"]
    lines += [f"  {problem}" for problem in preset.check_weights({})]
    lines += ["", "Knobs (baseline):"]
    lines += [f"  {name} = {preset.baseline[name]}  {spec.why}" for name, spec in preset.knobs.items()]
    if preset.vram:
        lines += ["", "Memory profiles:"]
        lines += [f"  {p.gb} GB  {p.about}".rstrip() for p in sorted(preset.vram, key=lambda p: p.gb)]
    return lines


def plan_lines(plan: Plan) -> list[str]:
    """What a session would do: its problems, rounds, time and disk, and every command as it would run."""
    lines = [f"{same[0].level}: {same[0]}{_and_more(same)}" for same in by_kind(plan.problems)]
    lines += [
        f"{_round_name(r)}: {counted(r.trials, 'trial')} of {counted(r.steps, 'step')}"
        + (f", {duration(r.seconds)}" if not plan.lacks else "")
        for r in plan.rounds
    ]
    if plan.rounds:
        basis = f"from {counted(plan.measured, 'measured trial')}" if plan.measured else "a guess"
        unit = "GPU" if plan.device == "cuda" else plan.device.upper()
        time = f"{duration(plan.seconds)} ({basis}), {duration(plan.device_seconds)} of {unit} time, "
        lines += [
            f"Together {time if not plan.lacks else ''}"
            f"{counted(plan.trials, 'trial')}, {counted(plan.steps, 'step')}, {counted(plan.pictures, 'picture')}, "
            f"{plan.disk_bytes / 1e9:.1f} GB of disk.",
            *plan.parted,
            *plan.again,
            plan.claim,
        ]
        lines += [f"{'+' if p.possible else '-'} {p.about}: {p.words}" for p in plan.promises]
        lines += [plan.memory] if plan.memory else []
    for command in plan.commands:
        lines += ["", f"# {command.title}", command.text]
    return lines


def _and_more(same: Sequence[Problem]) -> str:
    """How many more of the kind there are, and the first places."""
    places = [p.path.name for p in same[1:4] if p.path]
    named = f" ({', '.join(places)}{', …' if len(same) > 4 else ''})" if places else ""
    return f" And {len(same) - 1} more like it{named}." if len(same) > 1 else ""


def space_lines(earlier: str, found: NextSpace) -> list[str]:
    """The space that an earlier session suggests, knob by knob, and what it makes of the baseline."""
    advised = found.suggestion
    rests_on = f"{counted(advised.trials, 'config')} of {counted(advised.steps, 'step')}"
    lines = [f"The space that {earlier} suggests, from {rests_on}:"]
    lines += [f"  {a.knob}: {space_words(asdict(a))} ({a.change}). {a.reason}" for a in advised.knobs]
    return [*lines, *([found.words] if found.words else []), ""]


def _round_name(r: PlannedRound) -> str:
    return f"{r.name}, rung {r.rung + 1}" if r.rung else r.name


def ending_lines(folder: Path, summary: Summary | None) -> list[str]:
    """What is said when a run ends: the verdict, where the report is, and what it cost."""
    if summary is None:
        return [f"Stopped. `python -m bracket resume {folder.name}` goes on where it was."]
    later = [ranking for round_, ranking in summary.rounds.items() if round_ is not Round.SEARCH]
    trials = len(summary.searched) + sum(len(ranked.results) for ranking in later for ranked in ranking)
    label = summary.winner.label if summary.winner else ""
    return [
        "",
        why_undecided(summary) or short_sentence(summary.verdict, label),
        *summary.again,
        "",
        f"{counted(trials, 'trial')} in {duration(sum(summary.seconds.values()))}.",
        f"Report: {folder / 'report' / 'report.html'}",
    ]
