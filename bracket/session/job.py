"""From settings to what a trainer is told: the dataset's split, the resolved weights, the prompts, the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bracket.dataset import scan, split, split_from_json, split_to_json
from bracket.domain import DatasetSplit, Knob, Prompt
from bracket.errors import DatasetError, SettingsError
from bracket.files import read_json, write_json
from bracket.presets import Preset
from bracket.runner.devices import Device, devices, workers
from bracket.search.space import clamp
from bracket.session.seeds import choosing_prompts, verdict_prompts
from bracket.session.settings import SessionSettings, bounded_knobs
from bracket.trainers import Job, Trainer, make_trainer


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

    @property
    def baseline(self) -> dict[str, float | int | str | bool]:
        return clamp({**self.preset.baseline, **self.settings.baseline}, self.knobs)

    def choosing_job(self) -> Job:
        """The job of search and finals: the prompts that choose."""
        return self._job(choosing_prompts(self.dataset.prompts, self.settings.seed))

    def verdict_job(self) -> Job:
        """The job of the confirmation: only prompts and sample seeds that took no part in choosing."""
        return replace(self._job(self.verdict_prompts()), sample_every=0)

    def verdict_prompts(self) -> tuple[Prompt, ...]:
        s = self.settings
        return verdict_prompts(self.dataset.verdict_prompts, s.seed, s.confirmation.sample_seeds)

    def _job(self, prompts: Sequence[Prompt]) -> Job:
        s, p = self.settings, self.preset
        return Job(
            folder=self.folder,
            preset=p,
            dataset=self.dataset,
            weights=p.resolve_weights(s.weights),
            fixed={**p.fixed, **s.fixed},
            knobs=self.knobs,
            sample={**p.sample, **s.sample},
            prompts=tuple(prompts),
            device="cuda:0" if self.device == "cuda" else self.device,
            sample_every=s.sample_every,
            validate_every=s.validate_every,
            extra_args=s.extra_args,
        )


def make_context(folder: Path, settings: SessionSettings, device: str) -> Context:
    """Everything a session's stages need, from its settings.

    Raises:
        PresetError, SettingsError, DatasetError, TrainerError: with what to do.
    """
    preset = settings.load_preset()
    return Context(
        folder=folder,
        settings=settings,
        preset=preset,
        knobs=bounded_knobs(preset, settings),
        dataset=session_split(folder, settings),
        trainer=make_trainer(preset.trainer),
        device=device,
    )


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


def session_split(folder: Path, settings: SessionSettings) -> DatasetSplit:
    """The split this session uses: made once and kept, so that a resume trains on the very same pictures.

    Raises:
        DatasetError: the folder can't be used, or pictures of a started session are gone.
    """
    path = folder / "dataset.json"
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


def preview_split(settings: SessionSettings) -> DatasetSplit:
    """The split as it would be, without keeping it."""
    d = settings.dataset
    return split(
        scan(Path(d.folder).expanduser()),
        settings.seed,
        validation=d.validation,
        prompts=d.prompts,
        verdict=d.verdict_prompts,
        trigger_word=d.trigger_word,
        class_word=d.class_word,
    )
