"""The plan of a session before it starts: rounds, trials, steps, time, disk, and what the budget can show."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from bracket.dataset import check_dataset, check_disk, scan, split_problems
from bracket.domain import DatasetSplit, Problem
from bracket.errors import BracketError, DatasetError
from bracket.presets import Preset
from bracket.runner.devices import Device
from bracket.session.job import context_of, goes_on, memory_of, preview_split, slots_of
from bracket.session.judges import judge_problems
from bracket.session.preview import Command, commands
from bracket.session.settings import SessionSettings, bounded_knobs
from bracket.session.timing import Speed, estimate, remembered
from bracket.trainers import make_trainer

FEWEST_PROMPTS, FEWEST_PAIRS = 6, 5
"""Units below which nothing reaches p = 0.05: prompts are tested two-sided (2/2^n), paired runs one-sided (1/2^n)."""


@dataclass(frozen=True)
class PlannedRound:
    """One round, or one rung of the search: how many trials of how many steps, and about how many seconds with all
    workers busy. `all_steps` are the steps that its trials train together, without those they go on from.
    """

    name: str
    trials: int
    steps: int
    seconds: float
    rung: int = 0
    all_steps: int = 0

    def seconds_with(self, speed: Speed, workers: int) -> float:
        """Seconds at this speed: trials are shared out whole, so the last turn may leave workers idle."""
        if not self.trials:
            return 0.0
        return -(-self.trials // workers) * (speed.overhead + self.all_steps / self.trials * speed.step)


@dataclass(frozen=True)
class Plan:
    """What a session will do. `seconds` is an estimate; `measured` says how many trials it rests on (0: a guess).

    `claim` is the sentence what this budget can show; `commands` are those of every phase, as they will run.
    """

    rounds: tuple[PlannedRound, ...]
    seconds: float
    measured: int
    disk_bytes: int
    pictures: int
    claim: str
    problems: tuple[Problem, ...]
    commands: tuple[Command, ...] = ()

    @property
    def errors(self) -> list[Problem]:
        return [p for p in self.problems if p.level == "error"]


def planned_rounds(settings: SessionSettings, speed: Speed, workers: int) -> tuple[PlannedRound, ...]:
    """The rounds with their trials: the rungs of the search, the finals of the finalists and the baseline, the duel's
    pairs of the two."""
    s, on = settings, goes_on(settings, make_trainer(settings.load_preset().trainer))
    rungs, compares = s.search_rungs(), s.search.configs > 1
    lengths = [0, *(r.steps for r in rungs)]
    found = [
        _round("search", r.configs, r.steps, k, r.configs * (r.steps - (lengths[k] if on else 0)))
        for k, r in enumerate(rungs)
    ]
    finalists = min(s.finals.finalists, max(0, s.search.configs - 1)) + 1
    finals, pairs = finalists * s.finals.seeds if compares else 0, 2 * s.confirmation.pairs if compares else 0
    saved = finalists * lengths[-1] if on and finals and lengths[-1] < s.finals.steps else 0
    found.append(_round("finals", finals, s.finals.steps, 0, finals * s.finals.steps - saved))
    found.append(_round("confirmation", pairs, s.finals.steps, 0, pairs * s.finals.steps))
    return tuple(replace(r, seconds=r.seconds_with(speed, workers)) for r in found)


def _round(name: str, trials: int, steps: int, rung: int, all_steps: int) -> PlannedRound:
    return PlannedRound(name, trials, steps, 0.0, rung, all_steps)


def make(settings: SessionSettings, *, deep: bool = False) -> Plan:
    """The plan of these settings. Never raises for bad settings: `problems` says what is wrong."""
    problems = problems_of(settings, deep=deep)
    try:
        preset, slots = settings.load_preset(), slots_of(settings)
    except BracketError:
        return Plan((), 0.0, 0, 0, 0, "", tuple(problems))
    device = slots[0].kind
    speed = estimate(remembered(preset.name, device), guess_of(preset))
    rounds = planned_rounds(settings, speed, len(slots))
    trials = sum(r.trials for r in rounds)
    duel = rounds[-1].trials
    pictures = settings.dataset.prompts * (trials - duel)
    pictures += settings.dataset.verdict_prompts * settings.confirmation.sample_seeds * (2 + duel)
    return Plan(
        rounds=rounds,
        seconds=sum(r.seconds for r in rounds),
        measured=speed.measured,
        disk_bytes=round(trials * preset.guess.trial_mb * 1e6),
        pictures=pictures,
        claim=claim(settings),
        commands=_commands(settings, slots[0], problems),
        problems=tuple(problems),
    )


def _commands(settings: SessionSettings, device: Device, problems: list[Problem]) -> tuple[Command, ...]:
    """The commands of every phase, also while something else keeps the session from starting; what keeps them from
    being built joins the problems, unless those say enough."""
    try:
        return commands(settings, device)
    except BracketError as error:
        if all(p.level != "error" for p in problems):
            problems.append(_problem_of(error))
        return ()


def guess_of(preset: Preset) -> Speed:
    """The preset's own guess of its speed, for a machine on which nothing was measured yet."""
    return Speed(preset.guess.step_seconds, preset.guess.overhead_seconds)


def claim(settings: SessionSettings) -> str:
    """What this budget can show, in plain words."""
    s = settings
    finds = f"This finds the best of {s.search.configs} settings"
    if s.search.configs < 2:
        return "This trains one config and has nothing to compare it with. Add configs to search."
    if s.dataset.verdict_prompts < FEWEST_PROMPTS:
        return f"{finds}, but with fewer than {FEWEST_PROMPTS} verdict prompts it can prove nothing about them."
    file = (
        f"{finds} and can prove that its LoRA file beats the baseline's on {s.dataset.verdict_prompts} fresh prompts."
    )
    if s.confirmation.pairs >= FEWEST_PAIRS:
        return f"{file} With {s.confirmation.pairs} paired runs it can also prove it of the settings."
    missing = FEWEST_PAIRS - s.confirmation.pairs
    return f"{file} To prove it of the settings, add {missing} paired run{'s' if missing > 1 else ''}."


def problems_of(settings: SessionSettings, *, deep: bool = False) -> list[Problem]:
    """Everything the pre-flight finds, before the first second of GPU time. An error keeps the session from starting.

    Args:
        deep: decode every picture whole, as is done once before a start, and not only its header.
    """
    s = settings.dataset
    found: list[Problem] = []
    found += _checked(lambda: settings.load_preset().check_weights(settings.weights))
    found += _checked(lambda: _bound_problems(settings))
    found += _checked(lambda: _device_problems(settings))
    found += _checked(lambda: check_dataset(s.folder, trigger_word=s.trigger_word, deep=deep))
    found += _checked(lambda: _split_problems(settings))
    found += _checked(lambda: judge_problems(settings, preview_split(settings)))
    found += _checked(lambda: _trainer_problems(settings))
    # Several checks stumble over one missing folder: said once.
    return list({str(p): p for p in found if p.level != "info"}.values())


def disk_problems(folder: Path, plan: Plan) -> list[Problem]:
    return check_disk(folder, plan.disk_bytes)


def _bound_problems(settings: SessionSettings) -> list[Problem]:
    bounded_knobs(settings.load_preset(), settings)
    return []


def _device_problems(settings: SessionSettings) -> list[Problem]:
    slots_of(settings)
    return []


def _trainer_problems(settings: SessionSettings) -> list[Problem]:
    device = slots_of(settings)[0]
    try:
        dataset = preview_split(settings)
    except DatasetError:  # said by the dataset's own check
        dataset = DatasetSplit(Path(), (), (), (), ())
    context = context_of(Path(), settings, device.kind, dataset, memory_of(settings, device))
    preset = context.preset
    found = [p for p in context.trainer.check(context.choosing_job()) if p.level != "info"]
    if preset.trainer == "builtin":
        return found
    if device.kind != "cuda" and not settings.device:
        what = f"{preset.title} needs an NVIDIA GPU, and none is seen here"
        remedy = "Check the driver (nvidia-smi), or name the device in the settings to try it anyway."
        found.append(Problem("error", what, remedy))
    elif device.kind == "cuda" and preset.vram and memory_of(settings, device) < min(p.gb for p in preset.vram) * 0.9:
        least = min(p.gb for p in preset.vram)
        what = f"{preset.title} needs a GPU with {least} GB; {device.name} has {device.memory / 1e9:.0f} GB"
        found.append(Problem("warning", what, "It will likely run out of memory. Choose a smaller model."))
    return found


def _split_problems(settings: SessionSettings) -> list[Problem]:
    made = preview_split(settings)
    found = split_problems(scan(Path(settings.dataset.folder).expanduser()), made)
    if settings.confirmation.pairs and len(made.verdict_prompts) < FEWEST_PROMPTS:
        remedy = "Add a verdict_prompts.txt with one prompt a line."
        message = f"with fewer than {FEWEST_PROMPTS} verdict prompts nothing can be proved"
        found.append(Problem("warning", message, remedy))
    return found


def _checked(check: Callable[[], Iterable[Problem]]) -> list[Problem]:
    """A check's problems; an error it raises is one more problem."""
    try:
        return list(check())
    except BracketError as error:
        return [_problem_of(error)]


def _problem_of(error: BracketError) -> Problem:
    return Problem("error", error.message, error.remedy, Path(error.path) if error.path else None)
