"""The plan of a session before it starts: rounds, trials, steps, time, disk, and what the budget can show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bracket.dataset import check_dataset, check_disk, split_problems
from bracket.domain import DatasetSplit, Picture, Problem
from bracket.errors import BracketError, DatasetError
from bracket.homes import ask_parsers, checked_home
from bracket.presets import Preset
from bracket.report.words import counted
from bracket.runner import claims
from bracket.runner.devices import Device
from bracket.session.asked.judges import judge_problems, judges_of
from bracket.session.asked.limits import limit_problems
from bracket.session.asked.settings import SessionSettings
from bracket.session.duel import stamp
from bracket.session.duel.again import at_alpha, standing
from bracket.session.job import context_of, goes_on, known_split, memory_of, preview_split, scanned, slots_of
from bracket.session.planning import memory
from bracket.session.planning.preview import Command, commands
from bracket.session.planning.promise import Fresh, Promise, claim, fewest_prompts, parted, promises
from bracket.session.planning.search_checks import search_problems
from bracket.session.planning.spread import Spread, key
from bracket.session.planning.spread import remembered as remembered_spread
from bracket.session.timing import Speed, estimate, remembered
from bracket.trainers import make_trainer

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


def planned_rounds(settings: SessionSettings, speed: Speed, workers: int) -> tuple[PlannedRound, ...]:
    """The rounds with their trials: the rungs of the search, the finals of the finalists and the baseline, the duel's
    fresh trainings."""
    return rounds_of(settings, trains_on(settings), speed, workers)


def trains_on(settings: SessionSettings) -> bool:
    """Whether a longer trial of these settings goes on from the shorter one."""
    return goes_on(settings, make_trainer(settings.load_preset().trainer))


def rounds_of(settings: SessionSettings, on: bool, speed: Speed, workers: int) -> tuple[PlannedRound, ...]:
    """As `planned_rounds`, for settings of which it is known whether their trials train on."""
    s, rungs, compares = settings, settings.search_rungs(), settings.search.configs > 1
    lengths = [0, *(r.steps for r in rungs)]
    trained = [r.configs * (r.steps - (before if on else 0)) for r, before in zip(rungs, lengths, strict=False)]
    found = [_round("search", r.configs, r.steps, k, trained[k], r.about) for k, r in enumerate(rungs)]
    finalists = min(s.finals.finalists, max(0, s.search.configs - 1)) + 1
    finals, duel = (finalists * s.finals.seeds, arms(s) * s.confirmation.pairs) if compares else (0, 0)
    saved = finalists * lengths[-1] if on and finals and lengths[-1] < s.finals.steps else 0
    found.append(_round("finals", finals, s.finals.steps, 0, finals * s.finals.steps - saved))
    found.append(_round("confirmation", duel, s.finals.steps, 0, duel * s.finals.steps))
    return tuple(r.timed(speed, workers) for r in found)


def with_pairs(duel: PlannedRound, pairs: int, speed: Speed, workers: int) -> PlannedRound:
    """The duel with so many more fresh pairs of winner and baseline."""
    more = 2 * pairs
    grown = replace(duel, trials=duel.trials + more, all_steps=duel.all_steps + more * duel.steps)
    return grown.timed(speed, workers)


def arms(settings: SessionSettings) -> int:
    """Configs that the duel trains with every fresh seed: winner and baseline, and the runner-up where asked."""
    return (
        3 if settings.confirmation.runner_up and min(settings.finals.finalists, settings.search.configs - 1) > 1 else 2
    )


def _round(name: str, trials: int, steps: int, rung: int, all_steps: int, about: bool = False) -> PlannedRound:
    return PlannedRound(name, trials, steps, 0.0, rung, all_steps, about=about)


def make(settings: SessionSettings, *, deep: bool = False, folder: Path | None = None) -> Plan:
    """The plan of these settings. Never raises for bad settings: `problems` says what is wrong.

    Args:
        folder: the session's, that is or will be; a new one under the runs folder when not given.
    """
    problems = problems_of(settings, deep=deep, folder=folder)
    try:
        preset, slots = settings.load_preset(), slots_of(settings)
    except BracketError:
        return Plan((), 0.0, 0, 0, 0, "", tuple(problems))
    device, workers, missing = slots[0].kind, len(slots), lacks(settings)
    speed = speed_of(preset, device)
    rounds, before = planned_rounds(settings, speed, workers), standing(settings, folder)
    settings, fresh, words, keeping = _with_prompts_there_are(at_alpha(settings, before.alpha), folder)
    trials = sum(r.trials for r in rounds)
    duel = rounds[-1].trials
    pictures = settings.dataset.prompts * (trials - duel)
    drawn = settings.dataset.verdict_prompts * (arms(settings) + duel) + (keeping if settings.search.configs > 1 else 0)
    pictures += drawn * settings.confirmation.sample_seeds

    def cost(pairs: int) -> float:
        more = settings.confirmation.model_copy(update={"pairs": settings.confirmation.pairs + pairs})
        grown = planned_rounds(settings.model_copy(update={"confirmation": more}), speed, workers)
        return grown[-1].seconds - rounds[-1].seconds

    return Plan(
        rounds=rounds,
        seconds=sum(r.seconds for r in rounds),
        measured=speed.measured,
        disk_bytes=round(trials * preset.guess.trial_mb * 1e6),
        pictures=pictures,
        claim=claim(settings, fresh, None if missing else cost),
        commands=_commands(settings, slots[0], problems),
        memory=_memory(settings, slots[0], folder, problems),
        problems=tuple(problems),
        promises=promises(settings, fresh, spread_of(settings), None if missing else cost),
        device=device,
        workers=workers,
        parted=words,
        lacks=missing,
        again=before.words,
    )


def _with_prompts_there_are(
    settings: SessionSettings, folder: Path | None
) -> tuple[SessionSettings, Fresh, tuple[str, ...], int]:
    """The settings with as many prompts and held-out pictures as the split gives, since nothing is promised on others,
    the verdict prompts there are, the split in words, and how often a prompt is drawn to show what is kept: by the bare
    base, and where the duel has it not, by winner and baseline."""
    try:
        made, seen = known_split(settings, folder), scanned(settings)
    except BracketError:  # said by the dataset's own check
        return settings, Fresh(*[settings.dataset.verdict_prompts] * 2), (), 0
    fresh = Fresh(len(made.verdict_prompts), made.count_themes(made.verdict_prompts))
    found = {
        "prompts": len(made.prompts),
        "verdict_prompts": fresh.prompts,
        "validation": len(made.validation),
    }
    keeping = len(made.keep_prompts) + 2 * len(set(made.keep_prompts) - set(made.verdict_prompts))
    there = settings.model_copy(update={"dataset": settings.dataset.model_copy(update=found)})
    return there, fresh, parted(seen, made), keeping


def lacks(settings: SessionSettings) -> str:
    """A kind of device that the preset needs and that isn't here, such as "an NVIDIA GPU"; "" where none is missing.

    Raises:
        BracketError: there is no such preset or device.
    """
    preset, kind = settings.load_preset(), slots_of(settings)[0].kind
    if settings.device:  # whoever names one wants to try
        return ""
    if preset.trainer != "builtin":
        return "" if kind == "cuda" else "an NVIDIA GPU"
    large = any(spec.size_gb >= _LARGE for spec in preset.weights)
    return "a GPU" if large and kind == "cpu" and not remembered(preset.name, kind) else ""


def spread_of(settings: SessionSettings) -> Spread:
    """What earlier sessions of this preset and judge measured of how much scores differ."""
    return remembered_spread(spread_key(settings))


def spread_key(settings: SessionSettings) -> str:
    """Under which sessions share what they measured of the scores' spread: their scores are of one scale."""
    return key(settings.preset, [f"{j.kind} {j.model}".strip() for j in judges_of(settings)])


def _commands(settings: SessionSettings, device: Device, problems: list[Problem]) -> tuple[Command, ...]:
    """The commands of every phase, also while something else keeps the session from starting; what keeps them from
    being built joins the problems, unless those say enough."""
    try:
        return commands(settings, device)
    except BracketError as error:
        _join(problems, error)
        return ()


def _memory(settings: SessionSettings, device: Device, folder: Path | None, problems: list[Problem]) -> str:
    """What the session borrows from earlier ones, in words; problems as for the commands."""
    try:
        return memory.planned(settings, device, folder)
    except BracketError as error:
        _join(problems, error)
        return ""


def _join(problems: list[Problem], error: BracketError) -> None:
    """An error joins the problems, unless those say enough."""
    if all(p.level != "error" for p in problems):
        problems.append(_problem_of(error))


def guess_of(preset: Preset) -> Speed:
    """The preset's own guess of its speed, for a machine on which nothing was measured yet."""
    return Speed(preset.guess.step_seconds, preset.guess.overhead_seconds)


def speed_of(preset: Preset, device: str) -> Speed:
    """What earlier sessions measured on this kind of device, else the preset's guess."""
    return estimate(remembered(preset.name, device), guess_of(preset))


def problems_of(settings: SessionSettings, *, deep: bool = False, folder: Path | None = None) -> list[Problem]:
    """Everything the pre-flight finds, before the first second of GPU time. An error keeps the session from starting.

    Args:
        deep: as is done once before a start, decode every picture whole and not only its header, and ask the trainer's
            scripts themselves what they take.
    """
    found: list[Problem] = []
    found += _checked(lambda: settings.load_preset().check_weights(settings.weights))
    found += _checked(lambda: search_problems(settings))
    found += _checked(lambda: _device_problems(settings, folder))
    found += (told := _checked(lambda: _dataset_problems(settings, deep)))
    found += _checked(lambda: _split_problems(settings, folder))
    found += _checked(lambda: limit_problems(settings, folder, _pictures(settings)))
    found += _checked(lambda: judge_problems(settings, preview_split(settings)))
    found += _checked(lambda: stamp.problems(settings))
    found += _checked(lambda: _trainer_problems(settings, deep))
    # Several checks stumble over one missing folder: said once.
    return list({str(p): p for p in found if p.level != "info" or p in told}.values())


def _dataset_problems(settings: SessionSettings, deep: bool) -> list[Problem]:
    s = settings.dataset
    return check_dataset(s.folder, trigger_word=s.trigger_word, deep=deep, trainer=settings.load_preset().trainer)


def disk_problems(folder: Path, plan: Plan) -> list[Problem]:
    return check_disk(folder, plan.disk_bytes)


def _device_problems(settings: SessionSettings, folder: Path | None) -> list[Problem]:
    """Other sessions that train on the same devices now."""
    slots = slots_of(settings)
    found = []
    for device, other in claims.on_same_gpu(slots, folder).items():
        remedy = "This one waits for its turn; `run` or `resume` with --share begins at once, if both fit the memory."
        found.append(Problem("warning", f"the session {other} trains on {device} now", remedy))
    others, too_many = claims.beside_on_cpu(slots, folder)
    if too_many > 0:
        what = f"{others} trains on this CPU too, {counted(too_many, 'training')} more than there are cores for"
        found.append(Problem("warning", what, "Each slows the other down; wait for its end, or take fewer workers."))
    return found


def _trainer_problems(settings: SessionSettings, deep: bool) -> list[Problem]:
    device = slots_of(settings)[0]
    try:
        dataset = preview_split(settings)
    except DatasetError:  # said by the dataset's own check
        dataset = DatasetSplit(Path(), (), (), (), ())
    context = context_of(Path(), settings, device.kind, dataset, memory_of(settings, device))
    preset = context.preset
    asked = _ask_scripts(preset) if deep else []
    found = asked + [p for p in context.trainer.check(context.choosing_job()) if p.level != "info"]
    if preset.trainer == "builtin":
        return found
    if missing := lacks(settings):
        what = f"{preset.title} needs {missing}, and none is seen here"
        remedy = "Check the driver (nvidia-smi), or name the device in the settings to try it anyway."
        found.append(Problem("error", what, remedy, action="set device cpu"))
    elif device.kind == "cuda" and preset.vram and memory_of(settings, device) < min(p.gb for p in preset.vram) * 0.9:
        least = min(p.gb for p in preset.vram)
        what = f"{preset.title} needs a GPU with {least} GB; {device.name} has {device.memory / 1e9:.0f} GB"
        found.append(Problem("warning", what, "It will likely run out of memory. Choose a smaller model."))
    return found


def _pictures(settings: SessionSettings) -> Sequence[Picture]:
    try:
        made = preview_split(settings)
    except DatasetError:  # said by the dataset's own check
        return ()
    return (*made.train, *made.validation)


def _ask_scripts(preset: Preset) -> list[Problem]:
    """Starts a preset's scripts up to their parsers, which the trainer's own check then holds its commands against."""
    home = checked_home(preset.trainer)[0] if preset.scripts else None
    if home is None or preset.scripts is None:
        return []
    return ask_parsers(home, [script.script for script in (*preset.scripts.cache, preset.scripts.train)])


def _split_problems(settings: SessionSettings, folder: Path | None) -> list[Problem]:
    made = known_split(settings, folder)
    found = split_problems(scanned(settings), made, settings.dataset.choice)
    least = fewest_prompts(settings)
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
