"""One trial: a LoRA trained by flow matching, step by step, in a way that can be stopped and taken up exactly."""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor
from tqdm import tqdm

from bracket.errors import SettingsError
from bracket.files import write_text
from bracket.training.config.reading import dump
from bracket.training.config.schema import TrainingConfig
from bracket.training.data.batches import Batch, Batches, content_of, drop_captions, pass_seed
from bracket.training.data.cache import Cache, read
from bracket.training.data.pictures import Item, find_items
from bracket.training.model.klein import Base, velocity
from bracket.training.model.lora import add_lora
from bracket.training.model.losses import draw_sigmas, flow_loss
from bracket.training.model.optimizers import make_optimizer, make_schedule
from bracket.training.process.events import EventLog, cut_after
from bracket.training.process.program import Exit
from bracket.training.process.ranks import Ranks
from bracket.training.trial import checkpoints, sampling
from bracket.training.trial.validation import Validation


class Stop:
    """Set by the first SIGINT, so that the step is finished and saved; the second one interrupts at once."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        return self.asked

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        def ask(number: int, frame: FrameType | None) -> None:
            self.asked = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

        before = signal.signal(signal.SIGINT, ask)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)


def fill_cache(config: TrainingConfig, base: Base, ranks: Ranks) -> tuple[list[Item], list[Item]]:
    """Cache what the config needs, in the first process; returns its training and validation pictures.

    Raises:
        DatasetError: a picture or caption can't be read.
    """
    train, validation = find_items(config.data)
    if ranks.first:
        texts = {i.caption for i in (*train, *validation)} | {""}
        texts |= sampling.texts_of(config.sample.prompts, config.sample)
        Cache(config.cache_dir).fill(base, [*train, *validation], sorted(texts))
    ranks.wait()
    return train, validation


class Training:
    """A trial in progress. `run` trains it to its end, or until it is asked to stop."""

    def __init__(self, config: TrainingConfig, base: Base, ranks: Ranks, stop: Stop, resume: bool) -> None:
        self.config, self.base, self.ranks, self.stop = config, base, ranks, stop
        self.folder = config.output_dir
        self._checkpoints = self.folder / "checkpoints"
        found = checkpoints.newest(self._checkpoints)
        if found and not resume:
            raise SettingsError(
                "This folder holds a run already",
                path=self.folder,
                remedy="Add --resume to go on with it, or choose another output_dir.",
            )
        train, held_out = fill_cache(config, base, ranks)
        cache = Cache(config.cache_dir)
        self.batches = Batches(train, cache, base)
        self.validation = Validation(held_out, config.validation.timesteps, cache, base) if held_out else None
        self._prompts = {t: read(cache.text(t, base)) for t in sampling.texts_of(config.sample.prompts, config.sample)}
        self.transformer = base.transformer
        if config.train.gradient_checkpointing:
            self.transformer.enable_gradient_checkpointing()
        else:
            self.transformer.disable_gradient_checkpointing()
        self.parameters = add_lora(self.transformer, config.lora, config.seed)
        self.optimizer = make_optimizer(config.optimizer, self.parameters)
        self.schedule = make_schedule(config.train, self.optimizer)
        self._signature = checkpoints.signature_of(config, content_of(train))
        self.step = 0
        self._take_up(found)

    def _take_up(self, found: tuple[Path, int] | None) -> None:
        """Go back to the newest checkpoint (or the beginning) and take off what was written after it."""
        if found:
            path, self.step = found
            checkpoints.restore_state(path, self._signature, self.parameters, self.optimizer, self.schedule)
        if self.ranks.first:
            cut_after(self.folder / "tfevents", self.step if found else -1)
            sampling.forget_after(self.folder / "samples", self.step if found else -1)
            write_text(self.folder / "config.yaml", dump(self.config))

    def run(self) -> Exit:
        """Train to the last step, with validation, checkpoints and samples on the way.

        Returns:
            OK, STOPPED (saved before) or DIVERGED (the loss or the gradient is not finite).
        """
        events = EventLog(self.folder / "tfevents") if self.ranks.first else None
        try:
            if self.step == 0:
                self._validate(events)
            self._sample_if_due()
            code = self._train(events)
            return Exit.STOPPED if code is Exit.OK and self.ranks.any(self.stop()) else code
        finally:
            if events:
                events.close()

    def _train(self, events: EventLog | None) -> Exit:
        train = self.config.train
        skip = self.step * train.gradient_accumulation
        stream = self.batches.stream(train.batch_size, self.config.seed, skip, self.ranks)
        pace = _Pace(self.step)
        self.transformer.train()
        with tqdm(
            total=train.steps, initial=self.step, desc="training", mininterval=1, disable=not self.ranks.first
        ) as bar:
            while self.step < train.steps and not self.ranks.any(self.stop()):
                rate = float(self.schedule.get_last_lr()[0])
                loss, norm = self.advance(stream)
                if not (math.isfinite(loss) and math.isfinite(norm)):
                    print(f"Diverged at step {self.step}: loss {loss}, gradient norm {norm}.", file=sys.stderr)
                    return Exit.DIVERGED
                if events:
                    speed = pace.measure(self.step, last=self.step == train.steps)
                    events.add(self.step, {"loss/train": loss, "lr": rate, "grad_norm": norm, **speed})
                bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
                bar.update()
                with pace.paused():
                    self._milestone(events)
        if 0 < self.step < train.steps:
            self._save(checkpoints.step_name(self.step))
            print(f"Stopped after step {self.step}; --resume goes on from there.", file=sys.stderr)
        return Exit.OK

    def advance(self, stream: Iterator[Batch]) -> tuple[float, float]:
        """One optimiser step: its loss, and the gradient's norm before clipping. The only wait for the device."""
        train = self.config.train
        losses = []
        for micro in range(train.gradient_accumulation):
            number = micro * self.ranks.world + self.ranks.rank
            torch.manual_seed(pass_seed(self.config.seed, self.step, number))
            loss = self._loss(next(stream)) / train.gradient_accumulation
            loss.backward()
            losses.append(loss.detach())
        self.ranks.average_gradients(self.parameters)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, train.max_grad_norm or math.inf)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        self.step += 1
        figures = self.ranks.mean(torch.stack([sum(losses, torch.zeros_like(norm)), norm]))
        mean_loss, mean_norm = figures.tolist()
        return mean_loss, mean_norm

    def _loss(self, batch: Batch) -> Tensor:
        """x_t = (1 - sigma) x0 + sigma e; the model predicts e - x0 (Liu et al. 2022, rectified flow)."""
        settings, base = self.config.loss, self.base
        sigma = draw_sigmas(settings, len(batch.texts))
        text = self.batches.text(drop_captions(batch.texts, self.config.data.caption_dropout))
        sigma = sigma.to(base.device, non_blocking=True)
        noise = torch.randn_like(batch.clean)
        noisy = torch.lerp(batch.clean, noise, sigma[:, None, None]).to(base.dtype)
        with torch.autocast(base.device.type, base.dtype, enabled=base.dtype != torch.float32):
            predicted = velocity(self.transformer, noisy, text, sigma, batch.ids)
        return flow_loss(settings, predicted, noise - batch.clean, sigma)

    def _milestone(self, events: EventLog | None) -> None:
        """What is due after a step. Events are on disk before the checkpoint that a resume goes back to."""
        at_end = self.step == self.config.train.steps
        if at_end or _due(self.step, self.config.validation.every):
            self._validate(events)
        if at_end:
            self._save(checkpoints.FINAL, events)
        elif _due(self.step, self.config.checkpoint.every):
            self._save(checkpoints.step_name(self.step), events)
        self._sample_if_due()

    def _validate(self, events: EventLog | None) -> None:
        if events and self.validation:
            events.add(self.step, {"loss/validation": self.validation.loss(self.transformer)})
            events.flush()

    def _save(self, name: str, events: EventLog | None = None) -> None:
        if not self.ranks.first:
            return
        if events:
            events.flush()
        state = checkpoints.pack_state(self.step, self._signature, self.parameters, self.optimizer, self.schedule)
        checkpoints.save(self._checkpoints, name, self.step, self.transformer, state)
        checkpoints.prune(self._checkpoints, self.config.checkpoint.keep)

    def _sample_if_due(self) -> None:
        """Draw this step's pictures if it is a sample step or the last; those a resume finds drawn are left."""
        sample = self.config.sample
        due = self.step > 0 and (_due(self.step, sample.every) or self.step >= self.config.train.steps)
        if not (due and sample.prompts and self.ranks.first):
            return
        self.transformer.eval()
        sampling.draw(
            self.base.pipeline, sample.prompts, self._prompts, sample, self.folder / "samples", self.step, self.stop
        )
        self.transformer.train()


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


class _Pace:
    """Steps a second over the last second or so, without the time that validation, saving and drawing take."""

    def __init__(self, step: int) -> None:
        self._step, self._since = step, time.perf_counter()

    def measure(self, step: int, last: bool) -> dict[str, float]:
        seconds = time.perf_counter() - self._since
        if not last and seconds < 1:
            return {}
        speed = (step - self._step) / max(seconds, 1e-9)
        self._step, self._since = step, time.perf_counter()
        return {"speed/steps_per_second": speed}

    @contextmanager
    def paused(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._since += time.perf_counter() - began
