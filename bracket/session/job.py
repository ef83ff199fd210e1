"""From settings to what a trainer is told: the dataset's split, the resolved weights, the prompts, the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bracket.dataset import Scan, scan, split, split_from_json, split_to_json
from bracket.domain import DatasetSplit, Knob, Prompt, Round, Trial
from bracket.errors import DatasetError, SettingsError
from bracket.files import read_json, read_mapping, write_json
from bracket.presets import Preset, VramProfile
from bracket.runner.devices import Device, devices, workers
from bracket.session.asked.bounds import baseline_of, bounded_knobs
from bracket.session.asked.judges import plain_prompts
from bracket.session.asked.settings import ScoreSettings, SessionSettings
from bracket.session.score import at_length
from bracket.trainers import Job, Trainer, make_trainer

SPLIT = "dataset.json"
"""In a session's folder: its split."""
PROFILE = "vram.json"
"""In a session's folder: the memory its profile was chosen for."""
BEFORE = "before"
"""In a session's folder: the bare base's pictures of the choosing prompts, and what the judge says of them."""
LOWERED = "vram.json"
"""In a trial's folder: the lower profile it went down to."""


@dataclass(frozen=True)
class Context:
    """What every stage of a session needs to know, and nothing that changes while it runs."""

    folder: Path
    settings: SessionSettings
    preset: Preset
    knobs: tuple[Knob, ...]
    dataset: DatasetSplit
    trainer: Trainer
    device: str
    """The kind of device trials run on (cuda, mps, cpu); which of several GPUs is the runner's business."""
    profile: VramProfile | None = None
    """What makes the training fit into the device's memory."""

    @property
    def baseline(self) -> dict[str, float | int | str | bool]:
        return baseline_of(self.preset, self.settings, self.knobs)

    def choosing_job(self) -> Job:
        """The job of search and finals: the prompts that choose, the last of them without the trigger word."""
        texts = (*self.dataset.prompts, *plain_prompts(self.settings, self.dataset))
        return self._job(with_own_seeds(self.settings.seeds.choosing(texts), self.dataset))

    def verdict_job(self) -> Job:
        """The job of the confirmation: only prompts and sample seeds that took no part in choosing."""
        return replace(self._job(self.verdict_prompts()), sample_every=0)

    def verdict_prompts(self) -> tuple[Prompt, ...]:
        s = self.settings
        return with_own_seeds(s.seeds.verdict(self.dataset.verdict_prompts, s.confirmation.sample_seeds), self.dataset)

    def keep_pictures(self) -> tuple[Prompt, ...]:
        return keep_pictures(self.settings, self.dataset)

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
        """Whether a longer trial trains on from the shorter one of its config."""
        return goes_on(self.settings, self.trainer)

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


def goes_on(settings: SessionSettings, trainer: Trainer) -> bool:
    """Whether survivors train on: they may, the trainer can, and the finals are the longest trials."""
    return settings.finals.go_on and trainer.continues and settings.finals.steps >= settings.search.steps


def make_context(folder: Path, settings: SessionSettings, device: Device) -> Context:
    """Everything a session's stages need, from its settings. The memory profile is chosen once and kept, so that a
    resume on another card trains as the session began.

    Raises:
        PresetError, SettingsError, DatasetError, TrainerError: with what to do.
    """
    path = folder / PROFILE
    kept = read_mapping(path).get("gb")
    gb = kept if isinstance(kept, int) else memory_of(settings, device)
    context = context_of(folder, settings, device.kind, session_split(folder, settings), gb)
    if context.profile and gb != kept:
        write_json(path, {"gb": gb})
    return context


def context_of(folder: Path, settings: SessionSettings, kind: str, dataset: DatasetSplit, gb: float) -> Context:
    """The context of settings on a device with `gb` GB of memory (0: not on a GPU), with nothing written."""
    preset = settings.load_preset()
    profile = preset.profile(gb) if gb else None
    return Context(
        folder=folder,
        settings=settings,
        preset=preset,
        knobs=bounded_knobs(preset, settings, profile),
        dataset=dataset,
        trainer=make_trainer(preset.trainer),
        device=kind,
        profile=profile,
    )


def memory_of(settings: SessionSettings, device: Device) -> int:
    """GB of memory the preset's profile is chosen for; 0 where there is no GPU and none was asked for."""
    return settings.vram or (round(device.memory / 1e9) if device.kind == "cuda" else 0)


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


def keep_pictures(settings: SessionSettings, dataset: DatasetSplit) -> tuple[Prompt, ...]:
    """What shows how much is kept of what the base could: of prompts of the verdict the duel's own pictures."""
    texts = dict.fromkeys((*dataset.verdict_prompts, *dataset.keep_prompts))
    drawn = with_own_seeds(settings.seeds.verdict(tuple(texts), settings.confirmation.sample_seeds), dataset)
    return tuple(p for p in drawn if p.text in dataset.keep_prompts)


def session_split(folder: Path, settings: SessionSettings) -> DatasetSplit:
    """The split this session uses: made once and kept, so that a resume trains on the very same pictures.

    Raises:
        DatasetError: the folder can't be used, or pictures of a started session are gone.
    """
    path = folder / SPLIT
    if path.exists():
        kept = split_from_json(read_json(path))
        gone = [p.path for p in (*kept.train, *kept.validation) if not p.path.exists()]
        if gone:
            raise DatasetError(
                f"{len(gone)} pictures this session trains on are gone", path=gone[0], remedy="Put them back to resume."
            )
        return kept
    made = preview_split(settings)
    write_json(path, split_to_json(made))
    return made


def known_split(settings: SessionSettings, folder: Path | None) -> DatasetSplit:
    """The split that the session in `folder` has, else as it would be. Raises DatasetError as `session_split`."""
    kept = folder is not None and (folder / SPLIT).exists()
    return session_split(folder, settings) if folder and kept else preview_split(settings)


def scanned(settings: SessionSettings) -> Scan:
    """The session's pictures, as its trainer reads them."""
    return scan(settings.dataset.folder, trainer=settings.load_preset().trainer)


def preview_split(settings: SessionSettings) -> DatasetSplit:
    """The split as it would be, without keeping it."""
    d = settings.dataset
    return split(
        scanned(settings),
        settings.seed,
        validation=d.validation,
        prompts=d.prompts,
        verdict=d.verdict_prompts,
        trigger_word=d.trigger_word,
        class_word=d.class_word,
        per_folder=d.per_folder,
        choice=d.choice,
    )
