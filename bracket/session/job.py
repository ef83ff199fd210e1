"""From settings to a resolved question, and from that to what a trainer is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from bracket.dataset import Scan, scan, split, split_from_json, split_to_json
from bracket.domain import DatasetSplit, Knob, Prompt, Round, Trial
from bracket.environment import runs_folder
from bracket.errors import BracketError, DatasetError, SettingsError
from bracket.files import read_json, read_mapping, write_json
from bracket.presets import Preset, VramProfile
from bracket.runner.devices import Device, devices, workers
from bracket.session.asked.bounds import baseline_of, bounded_knobs
from bracket.session.asked.judges import judges_of, plain_prompts
from bracket.session.asked.seeds import Seeds
from bracket.session.asked.settings import DatasetSettings, JudgeSettings, ScoreSettings, SessionSettings
from bracket.session.score import at_length
from bracket.trainers import Job, Trainer, make_trainer

T = TypeVar("T")

SPLIT = "dataset.json"
"""In a session's folder: its split."""
PROFILE = "vram.json"
"""In a session's folder: the memory its profile was chosen for."""
BEFORE = "before"
"""In a session's folder: the bare base's pictures of the choosing prompts, and what the judge says of them."""
LOWERED = "vram.json"
"""In a trial's folder: the lower profile it went down to."""


UNNAMED = ".new"
"""The folder of a session that has no name yet."""


@dataclass(frozen=True)
class Context:
    """A session's question, resolved: what was asked, and all that it names. Plan, promises, checks, preview and every
    stage of the run take the same one, and nothing of it changes while the session runs."""

    folder: Path
    settings: SessionSettings
    preset: Preset
    knobs: tuple[Knob, ...]
    judges: tuple[JudgeSettings, ...]
    dataset: DatasetSplit
    trainer: Trainer
    slots: tuple[Device, ...]
    """A device for each trial that may run at once."""
    gb: float = 0
    """GB of GPU memory that `profile` is chosen for; 0: not on a GPU."""
    scanned: Scan | None = None
    """The pictures its split was made of, where it was made just now."""
    faults: tuple[BracketError, ...] = ()
    """What could not be resolved, each with a stand-in: another device, the preset's own knobs, no pictures. Only a
    plan may look at such a question; no session runs with one."""

    @property
    def device(self) -> str:
        """The kind of device trials run on (cuda, mps, cpu); which of several GPUs is the runner's business."""
        return self.slots[0].kind

    @property
    def profile(self) -> VramProfile | None:
        """What makes the training fit into the device's memory."""
        return self.preset.profile(self.gb) if self.gb else None

    @property
    def unnamed(self) -> bool:
        return self.folder.name == UNNAMED

    def heed(self) -> Context:
        """Itself, where all of it could be resolved; raises the first fault where not."""
        for fault in self.faults:
            raise fault
        return self

    def seen(self) -> Scan:
        """The session's pictures, as its trainer reads them. Raises DatasetError."""
        return self.scanned or scan(self.settings.dataset.folder, trainer=self.preset.trainer)

    def asked(self, **groups: Mapping[str, object]) -> Context:
        """The same question with other values: `asked(confirmation={"alpha": 0.03})`."""
        parts = {name: getattr(self.settings, name).model_copy(update=new) for name, new in groups.items()}
        return replace(self, settings=self.settings.model_copy(update=parts))

    def at_alpha(self, alpha: float) -> Context:
        """With what is left of its alpha, for what is promised of it."""
        return self.asked(confirmation={"alpha": alpha})

    def own_knobs(self) -> tuple[Knob, ...]:
        """The knobs as they were asked for, whatever the device's memory leaves of them. Raises SettingsError."""
        return bounded_knobs(self.preset, self.settings.bounds)

    @property
    def baseline(self) -> dict[str, float | int | str | bool]:
        return baseline_of(self.preset, self.settings.baseline, self.knobs)

    def choosing_job(self) -> Job:
        """The job of search and finals."""
        return self._job(self.choosing_prompts())

    def choosing_prompts(self) -> tuple[Prompt, ...]:
        """The prompts that choose, the last of them without the trigger word."""
        s = self.settings
        texts = (*self.dataset.prompts, *plain_prompts(self.judges, self.dataset, s.dataset.plain_prompts))
        return with_own_seeds(s.seeds.choosing(texts), self.dataset)

    def verdict_job(self) -> Job:
        """The job of the confirmation: only prompts and sample seeds that took no part in choosing."""
        return replace(self._job(self.verdict_prompts()), sample_every=0)

    def verdict_prompts(self) -> tuple[Prompt, ...]:
        s = self.settings
        return with_own_seeds(s.seeds.verdict(self.dataset.verdict_prompts, s.confirmation.sample_seeds), self.dataset)

    def keep_pictures(self) -> tuple[Prompt, ...]:
        return keep_pictures(self.dataset, self.settings.seeds, self.settings.confirmation.sample_seeds)

    def trial_job(self, trial: Trial) -> Job:
        """The job a trial belongs to, with the memory profile it is down to."""
        job = self.verdict_job() if trial.round is Round.CONFIRMATION else self.choosing_job()
        profile = self.trial_profile(trial)
        return job if profile is self.profile else replace(job, fixed=self._fixed(profile))

    def trial_profile(self, trial: Trial) -> VramProfile | None:
        """The session's memory profile, or the lower one a trial went down to when it ran out of memory."""
        path = trial.folder / LOWERED
        if not path.exists():
            return self.profile
        gb = read_mapping(path).get("gb")
        return next((p for p in self.preset.vram if p.gb == gb), self.profile)

    def score_settings(self, steps: int) -> ScoreSettings:
        """What counts in trials of so many steps."""
        return at_length(self.settings.score, steps, self.settings.finals.steps)

    @property
    def goes_on(self) -> bool:
        """Whether a longer trial trains on from the shorter one of its config: it may, the trainer can, and the finals
        are the longest trials."""
        s = self.settings
        return s.finals.go_on and self.trainer.continues and s.finals.steps >= s.search.steps

    def _fixed(self, profile: VramProfile | None) -> dict[str, object]:
        return {**self.preset.fixed, **(profile.settings if profile else {}), **self.settings.fixed}

    def _job(self, prompts: Sequence[Prompt]) -> Job:
        s, p = self.settings, self.preset
        return Job(
            folder=self.folder,
            preset=p,
            dataset=self.dataset,
            weights=p.resolve_weights(s.weights),
            fixed=self._fixed(self.profile),
            knobs=self.knobs,
            sample={**p.sample, **s.sample},
            prompts=tuple(prompts),
            device="cuda:0" if self.device == "cuda" else self.device,
            sample_every=s.sample_every,
            validate_every=s.validate_every,
            extra_args=s.extra_args,
        )


def resolve(settings: SessionSettings, folder: Path | None = None) -> Context:
    """The question that settings ask, with nothing written: of a session that is there with the split and the memory
    profile it has, so that a resume trains as it began.

    Args:
        folder: the session's, that is or will be; none of a name yet under the runs folder when not given.

    Raises:
        PresetError: there is no such preset. All else that is wrong joins `Context.faults`.
    """
    place, preset = folder or runs_folder() / UNNAMED, settings.load_preset()
    faults: list[BracketError] = []

    def tried(make: Callable[[], T], stand_in: Callable[[], T]) -> T:
        try:
            return make()
        except BracketError as error:
            faults.append(error)
            return stand_in()

    slots = tried(lambda: slots_of(settings), devices)
    kept = tried(lambda: read_mapping(place / PROFILE).get("gb"), lambda: None)
    gb = kept if isinstance(kept, int) else settings.vram or _memory(slots[0])
    profile = preset.profile(gb) if gb else None
    nothing = None, DatasetSplit(Path(), (), (), (), ())
    scanned, dataset = tried(lambda: _pictures(settings, preset, place), lambda: nothing)
    return Context(
        folder=place,
        settings=settings,
        preset=preset,
        knobs=tried(lambda: bounded_knobs(preset, settings.bounds, profile), lambda: tuple(preset.knob_list())),
        judges=judges_of(settings.judges, preset),
        dataset=dataset,
        trainer=make_trainer(preset.trainer),
        slots=tuple(slots),
        gb=gb,
        scanned=scanned,
        faults=tuple(faults),
    )


def make_context(folder: Path, settings: SessionSettings) -> Context:
    """The question of the session in `folder`, its split and its memory profile chosen once and kept.

    Raises:
        PresetError, SettingsError, DatasetError, TrainerError: with what to do.
    """
    context = resolve(settings, folder).heed()
    if not (folder / SPLIT).exists():
        write_json(folder / SPLIT, split_to_json(context.dataset))
    if context.profile and context.gb != read_mapping(folder / PROFILE).get("gb"):
        write_json(folder / PROFILE, {"gb": context.gb})
    return context


def _memory(device: Device) -> int:
    return round(device.memory / 1e9) if device.kind == "cuda" else 0


def slots_of(settings: SessionSettings) -> list[Device]:
    """A device for each trial that may run at once.

    Raises:
        SettingsError: the settings name a device that is not there.
    """
    found = devices()
    if settings.device:
        named = [d for d in found if settings.device in (d.id, d.kind)]
        if not named:
            known = ", ".join(d.id for d in found)
            raise SettingsError(f"there is no device {settings.device!r} here", remedy=f"Known: {known}.")
        found = named
    count = settings.workers or workers(found)
    return [found[i % len(found)] for i in range(count)]


def with_own_seeds(prompts: Sequence[Prompt], dataset: DatasetSplit) -> tuple[Prompt, ...]:
    """The prompts, the first of each text with the seed that the user's own prompt file gives it."""
    own = {text: int(flags["d"]) for text, flags in dataset.drawn.items() if "d" in flags}
    return tuple(replace(p, seed=own.pop(p.text)) if p.text in own else p for p in prompts)


def keep_pictures(dataset: DatasetSplit, seeds: Seeds, sample_seeds: int) -> tuple[Prompt, ...]:
    """What shows how much is kept of what the base could: of prompts of the verdict the duel's own pictures."""
    texts = dict.fromkeys((*dataset.verdict_prompts, *dataset.keep_prompts))
    drawn = with_own_seeds(seeds.verdict(tuple(texts), sample_seeds), dataset)
    return tuple(p for p in drawn if p.text in dataset.keep_prompts)


def _pictures(settings: SessionSettings, preset: Preset, folder: Path) -> tuple[Scan | None, DatasetSplit]:
    """The split that the session in `folder` has, else the one that it would get, and what that is made of."""
    if (folder / SPLIT).exists():
        return None, _kept_split(folder / SPLIT)
    scanned = scan(settings.dataset.folder, trainer=preset.trainer)
    return scanned, _split_of(scanned, settings.dataset, settings.seed)


def _kept_split(path: Path) -> DatasetSplit:
    """A session's split: made once and kept, so that a resume trains on the very same pictures.

    Raises:
        DatasetError: pictures of a started session are gone.
    """
    kept = split_from_json(read_json(path))
    gone = [p.path for p in (*kept.train, *kept.validation) if not p.path.exists()]
    if gone:
        raise DatasetError(
            f"{len(gone)} pictures this session trains on are gone", path=gone[0], remedy="Put them back to resume."
        )
    return kept


def _split_of(scanned: Scan, d: DatasetSettings, seed: int) -> DatasetSplit:
    return split(
        scanned,
        seed,
        validation=d.validation,
        prompts=d.prompts,
        verdict=d.verdict_prompts,
        trigger_word=d.trigger_word,
        class_word=d.class_word,
        per_folder=d.per_folder,
        choice=d.choice,
    )
