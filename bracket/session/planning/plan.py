"""The plan of a session before it starts: rounds, trials, steps, time, disk, and what the budget can show."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from bracket.dataset import check_dataset, check_disk, split_problems
from bracket.domain import Problem
from bracket.errors import BracketError, SettingsError
from bracket.homes import ask_parsers, checked_home
from bracket.presets import Preset
from bracket.report.words import counted
from bracket.runner import claims
from bracket.session.asked.judges import judge_problems
from bracket.session.asked.settings import SessionSettings
from bracket.session.duel import stamp
from bracket.session.duel.again import standing
from bracket.session.job import Context, resolve
from bracket.session.planning import memory
from bracket.session.planning.limits import limit_problems
from bracket.session.planning.preview import Command, commands
from bracket.session.planning.promise import Fresh, Promise, claim, fewest_prompts, parted, promises
from bracket.session.planning.search_checks import search_problems
from bracket.session.planning.spread import Spread, key
from bracket.session.planning.spread import remembered as remembered_spread
from bracket.session.timing import Speed, estimate, remembered

T = TypeVar("T")

_LARGE = 1
"""GB of weights from which the built-in trainer takes on a CPU what no guess tells."""


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
    device_seconds: float = 0.0
    """Seconds of all workers together: what the round costs, however many share it."""
    about: bool = False
    """How many trials it gets is decided as results come in."""

    def timed(self, speed: Speed, workers: int) -> PlannedRound:
        """The round at this speed. Trials are shared out whole, so the last turn may leave workers idle."""
        if not self.trials:
            return self
        together = self.trials * speed.overhead + self.all_steps * speed.step
        turns = -(-self.trials // workers)
        return replace(self, seconds=turns * together / self.trials, device_seconds=together)


@dataclass(frozen=True)
class Plan:
    """What a session will do. `seconds` is an estimate; `measured` says how many trials it rests on (0: a guess).

    `claim` is the sentence what this budget can show, `promises` the same for each comparison; `commands` are those of
    every phase, as they will run. `device` is the kind of device, of which `workers` train at a time.
    """

    rounds: tuple[PlannedRound, ...]
    seconds: float
    measured: int
    disk_bytes: int
    pictures: int
    claim: str
    problems: tuple[Problem, ...]
    commands: tuple[Command, ...] = ()
    memory: str = ""
    """What it borrows from earlier sessions, in words; "" where it asks for nothing."""
    promises: tuple[Promise, ...] = ()
    device: str = ""
    workers: int = 1
    parted: tuple[str, ...] = ()
    """How pictures and prompts are parted, and what that costs, in words."""
    again: tuple[str, ...] = ()
    """Earlier sessions that asked the same, and what they leave of alpha, in words."""
    lacks: str = ""
    """What this machine would need to run it at all; how long it takes can't be said then."""

    @property
    def errors(self) -> list[Problem]:
        return [p for p in self.problems if p.level == "error"]

    @property
    def trials(self) -> int:
        return sum(r.trials for r in self.rounds)

    @property
    def steps(self) -> int:
        """Optimiser steps of all trials together."""
        return sum(r.all_steps for r in self.rounds)

    @property
    def device_seconds(self) -> float:
        """Seconds of all workers together."""
        return sum(r.device_seconds for r in self.rounds)


def planned_rounds(context: Context, speed: Speed) -> tuple[PlannedRound, ...]:
    """The rounds with their trials: the rungs of the search, the finals of the finalists and the baseline, the duel's
    fresh trainings."""
    s, on = context.settings, context.goes_on
    rungs, compares = s.search_rungs(), s.search.configs > 1
    lengths = [0, *(r.steps for r in rungs)]
    trained = [r.configs * (r.steps - (before if on else 0)) for r, before in zip(rungs, lengths, strict=False)]
    found = [_round("search", r.configs, r.steps, k, trained[k], r.about) for k, r in enumerate(rungs)]
    finalists = min(s.finals.finalists, max(0, s.search.configs - 1)) + 1
    finals, duel = (finalists * s.finals.seeds, arms(context) * s.confirmation.pairs) if compares else (0, 0)
    saved = finalists * lengths[-1] if on and finals and lengths[-1] < s.finals.steps else 0
    found.append(_round("finals", finals, s.finals.steps, 0, finals * s.finals.steps - saved))
    found.append(_round("confirmation", duel, s.finals.steps, 0, duel * s.finals.steps))
    return tuple(r.timed(speed, len(context.slots)) for r in found)


def with_pairs(duel: PlannedRound, pairs: int, speed: Speed, workers: int) -> PlannedRound:
    """The duel with so many more fresh pairs of winner and baseline."""
    more = 2 * pairs
    grown = replace(duel, trials=duel.trials + more, all_steps=duel.all_steps + more * duel.steps)
    return grown.timed(speed, workers)


def arms(context: Context) -> int:
    """Configs that the duel trains with every fresh seed: winner and baseline, and the runner-up where asked."""
    s = context.settings
    return 3 if s.confirmation.runner_up and min(s.finals.finalists, s.search.configs - 1) > 1 else 2


def _round(name: str, trials: int, steps: int, rung: int, all_steps: int, about: bool = False) -> PlannedRound:
    return PlannedRound(name, trials, steps, 0.0, rung, all_steps, about=about)


def make(settings: SessionSettings, *, deep: bool = False, folder: Path | None = None) -> Plan:
    """The plan of these settings. Never raises for bad settings: `problems` says what is wrong.

    Args:
        folder: the session's, that is or will be; a new one under the runs folder when not given.
    """
    try:
        return plan_of(resolve(settings, folder), deep=deep)
    except BracketError as error:
        return Plan((), 0.0, 0, 0, 0, "", (_problem_of(error),))


def plan_of(context: Context, *, deep: bool = False) -> Plan:
    """The plan of a question; `problems` says what is wrong with it.

    Args:
        deep: as `problems_of`.
    """
    problems = problems_of(context, deep=deep)
    if any(isinstance(fault, SettingsError) for fault in context.faults):
        return Plan((), 0.0, 0, 0, 0, "", tuple(problems))
    missing, speed, before = lacks(context), speed_of(context.preset, context.device), standing(context)
    held, fresh = context.at_alpha(before.alpha), Fresh.of(context)
    rounds = planned_rounds(context, speed)
    trials, duel = sum(r.trials for r in rounds), rounds[-1].trials

    def cost(pairs: int) -> float:
        grown = context.asked(confirmation={"pairs": context.settings.confirmation.pairs + pairs})
        return planned_rounds(grown, speed)[-1].seconds - rounds[-1].seconds

    shown = None if missing else cost
    return Plan(
        rounds=rounds,
        seconds=sum(r.seconds for r in rounds),
        measured=speed.measured,
        disk_bytes=round(trials * context.preset.guess.trial_mb * 1e6),
        pictures=_pictures(context, trials - duel, duel),
        claim=claim(held, fresh, shown),
        commands=_unless(problems, lambda: commands(context), ()),
        memory=_unless(problems, lambda: memory.planned(context), ""),
        problems=tuple(problems),
        promises=promises(held, fresh, spread_of(context), shown),
        device=context.device,
        workers=len(context.slots),
        parted=_unless(problems, lambda: parted(context.heed()), ()),
        lacks=missing,
        again=before.words,
    )


def _pictures(context: Context, choosing: int, duel: int) -> int:
    """How many pictures are drawn by so many trials of search and finals, and of the duel. What is kept is shown by the
    bare base, and where the duel has it not, by winner and baseline."""
    made, s = context.dataset, context.settings
    keeping = len(made.keep_prompts) + 2 * len(set(made.keep_prompts) - set(made.verdict_prompts))
    drawn = Fresh.of(context).prompts * (arms(context) + duel) + (keeping if s.search.configs > 1 else 0)
    return len(context.choosing_prompts()) * choosing + drawn * s.confirmation.sample_seeds


def lacks(context: Context) -> str:
    """A kind of device that the preset needs and that isn't here, such as "an NVIDIA GPU"; "" where none is missing."""
    preset, kind = context.preset, context.device
    if context.settings.device:  # whoever names one wants to try
        return ""
    if preset.trainer != "builtin":
        return "" if kind == "cuda" else "an NVIDIA GPU"
    large = any(spec.size_gb >= _LARGE for spec in preset.weights)
    return "a GPU" if large and kind == "cpu" and not remembered(preset.name, kind) else ""


def spread_of(context: Context) -> Spread:
    """What earlier sessions of this preset and judge measured of how much scores differ."""
    return remembered_spread(spread_key(context))


def spread_key(context: Context) -> str:
    """Under which sessions share what they measured of the scores' spread: their scores are of one scale."""
    return key(context.settings.preset, [f"{j.kind} {j.model}".strip() for j in context.judges])


def _unless(problems: list[Problem], make: Callable[[], T], nothing: T) -> T:
    """What is made also while something else keeps the session from starting; what keeps it from being made joins the
    problems, unless those say enough."""
    try:
        return make()
    except BracketError as error:
        _join(problems, error)
        return nothing


def _join(problems: list[Problem], error: BracketError) -> None:
    """An error joins the problems, unless those say enough."""
    if all(p.level != "error" for p in problems):
        problems.append(_problem_of(error))


def speed_of(preset: Preset, device: str) -> Speed:
    """What earlier sessions measured on this kind of device, else the preset's own guess."""
    guess = Speed(preset.guess.step_seconds, preset.guess.overhead_seconds)
    return estimate(remembered(preset.name, device), guess)


def problems_of(context: Context, *, deep: bool = False) -> list[Problem]:
    """Everything the pre-flight finds, before the first second of GPU time. An error keeps the session from starting.

    Args:
        deep: as is done once before a start, decode every picture whole and not only its header, and ask the trainer's
            scripts themselves what they take.
    """
    preset, d = context.preset, context.settings.dataset
    found: list[Problem] = []
    found += _checked(lambda: preset.check_weights(context.settings.weights))
    found += _checked(lambda: search_problems(context))
    found += [_problem_of(fault) for fault in context.faults if isinstance(fault, SettingsError)]
    found += _checked(lambda: _device_problems(context))
    told = _checked(lambda: check_dataset(d.folder, trigger_word=d.trigger_word, deep=deep, trainer=preset.trainer))
    found += told
    found += [_problem_of(fault) for fault in context.faults]
    found += _checked(lambda: _split_problems(context))
    found += _checked(lambda: limit_problems(context))
    found += _checked(lambda: judge_problems(context.judges, context.heed().dataset))
    found += _checked(lambda: stamp.problems(context.settings.confirmation.stamp))
    found += _checked(lambda: _trainer_problems(context, deep))
    # Several checks stumble over one missing folder: said once.
    return list({str(p): p for p in found if p.level != "info" or p in told}.values())


def disk_problems(context: Context, plan: Plan) -> list[Problem]:
    return check_disk(context.folder, plan.disk_bytes)


def _device_problems(context: Context) -> list[Problem]:
    """Other sessions that train on the same devices now."""
    found = []
    for device, other in claims.on_same_gpu(context.slots, context.folder).items():
        remedy = "This one waits for its turn; `run` or `resume` with --share begins at once, if both fit the memory."
        found.append(Problem("warning", f"the session {other} trains on {device} now", remedy))
    others, too_many = claims.beside_on_cpu(context.slots, context.folder)
    if too_many > 0:
        what = f"{others} trains on this CPU too, {counted(too_many, 'training')} more than there are cores for"
        found.append(Problem("warning", what, "Each slows the other down; wait for its end, or take fewer workers."))
    return found


def _trainer_problems(context: Context, deep: bool) -> list[Problem]:
    preset, device = context.preset, context.slots[0]
    asked = _ask_scripts(preset) if deep else []
    found = asked + [p for p in context.trainer.check(context.choosing_job()) if p.level != "info"]
    if preset.trainer == "builtin":
        return found
    if missing := lacks(context):
        what = f"{preset.title} needs {missing}, and none is seen here"
        remedy = "Check the driver (nvidia-smi), or name the device in the settings to try it anyway."
        found.append(Problem("error", what, remedy, action="set device cpu"))
    elif device.kind == "cuda" and preset.vram and context.gb < min(p.gb for p in preset.vram) * 0.9:
        least = min(p.gb for p in preset.vram)
        what = f"{preset.title} needs a GPU with {least} GB; {device.name} has {device.memory / 1e9:.0f} GB"
        found.append(Problem("warning", what, "It will likely run out of memory. Choose a smaller model."))
    return found


def _ask_scripts(preset: Preset) -> list[Problem]:
    """Starts a preset's scripts up to their parsers, which the trainer's own check then holds its commands against."""
    home = checked_home(preset.trainer)[0] if preset.scripts else None
    if home is None or preset.scripts is None:
        return []
    return ask_parsers(home, [script.script for script in (*preset.scripts.cache, preset.scripts.train)])


def _split_problems(context: Context) -> list[Problem]:
    made, settings = context.heed().dataset, context.settings
    found = split_problems(context.seen(), made, settings.dataset.choice)
    least = fewest_prompts(context)
    if settings.confirmation.pairs and made.count_themes(made.verdict_prompts) < least:
        remedy = "Take the bank's prompts, or add a verdict_prompts.txt with one prompt a line."
        kind = "verdict prompts" if len(made.verdict_prompts) < least else "themes of verdict prompts"
        message = f"with fewer than {least} {kind} nothing can be proved"
        found.append(Problem("warning", message, remedy))
    if (least := settings.confirmation.keep_at_least) and not made.keep_prompts:
        message = f"a winner is to keep {least} % of what the base could, and no fresh prompt is without a trigger word"
        remedy = "Name the trigger word and take the bank's prompts, add some to verdict_prompts.txt, or ask for 0 %."
        found.append(Problem("error", message, remedy))
    return found


def _checked(check: Callable[[], Iterable[Problem]]) -> list[Problem]:
    """A check's problems; an error it raises is one more problem."""
    try:
        return list(check())
    except BracketError as error:
        return [_problem_of(error)]


def _problem_of(error: BracketError) -> Problem:
    return Problem("error", error.message, error.remedy, Path(error.path) if error.path else None)
