"""What sd-scripts, musubi-tuner and AI-Toolkit leave behind: curves by their tags, checkpoints and pictures by name.

Names and tags as the trainers' sources write them (sd-scripts 48d368f, musubi-tuner 0.3.4, AI-Toolkit 0.12).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from bracket.domain import Prompt, Sample
from bracket.errors import StorageError
from bracket.trainers.whole import is_whole
from bracket.weights import read_header

SD_SCRIPTS_TAGS = {
    "loss/current": "loss/train",  # LoRA scripts
    "loss": "loss/train",  # full fine-tunes
    # The only one of the four validation tags that is a loss by step. Noise and timesteps are those of the validation
    # seed each time. In the first epoch it is the mean over that epoch's validations so far, and later ones replace
    # only a part of that mean: it is each validation's own loss if no more than one falls into the first epoch. The
    # trial's own loss type, weighting, noise offset and (flow models) time step sampling apply to it.
    "loss/validation/step_average": "loss/validation",
    "loss/validation/step_divergence": "",
    "loss/validation/epoch_average": "",
    "loss/validation/epoch_divergence": "",
    "loss/epoch": "",
    "loss/epoch_average": "",
    "epoch": "",
    "lr/unet": "lr",
    "lr/base": "lr",  # Anima's full fine-tune
    "norm/avg_grad_norm": "grad_norm",
}
MUSUBI_TAGS = {"loss/current": "loss/train", "loss": "loss/train", "loss/epoch": "", "lr/unet": "lr"}
AI_TOOLKIT_TAGS = {"loss/loss": "loss/train", "val/loss": "loss/validation", "learning_rate": "lr"}

_KOHYA = r"(?:.+_)?(?P<when>e?\d{6,})_(?P<index>\d{2,})_(?P<time>\d{14})(?:_\d+)?"
_PICTURES = {
    "sd-scripts": (re.compile(_KOHYA + r"\.png"),),
    "musubi": (
        re.compile(_KOHYA + r"_000\.png"),  # a number for each layer or frame follows the seed; the first is shown
        re.compile(_KOHYA + r"\.mp4"),
        # Kandinsky 5: a clip of the same name, too, of which this is the first frame
        re.compile(r"sample_(?P<when>\d{6,})_(?P<index>\d{2,})\.png"),
    ),
}
_AI_TOOLKIT_PICTURE = re.compile(r"(?P<time>\d{13})__(?P<step>\d{9})_(?P<index>\d+)\.(?:jpe?g|png|webp|mp4)")

_BUDGET = 8 << 20
"""Bytes of a checkpoint that are looked at for numbers that aren't finite."""
_PROBES = 4
# A float is infinite or NaN when all bits of its exponent are set; the 8-bit e4m3 has no infinity, and one NaN.
_EXPONENTS = {
    "F64": ("<u8", 0x7FF0 << 48),
    "F32": ("<u4", 0x7F80 << 16),
    "BF16": ("<u2", 0x7F80),
    "F16": ("<u2", 0x7C00),
    "F8_E5M2": ("u1", 0x7C),
    "F8_E4M3": ("u1", 0x7F),
}


@dataclass(frozen=True)
class Saved:
    """A checkpoint or a state on disk: a file, or a folder.

    Attributes:
        kind: what its number counts; the final one has none (0).
        expert: "high_noise" or "low_noise" for one of Wan 2.2's pair, else "".
    """

    path: Path
    kind: Literal["final", "step", "epoch"]
    number: int = 0
    expert: str = ""


def kohya_checkpoints(folder: Path, name: str, suffix: str = ".safetensors") -> list[Saved]:
    """Checkpoints of sd-scripts or musubi with this output name, by epoch, then by step, the final one last.

    Args:
        suffix: "" for the folders of diffusers models.
    """
    return _saved(folder, name, suffix)


def kohya_states(folder: Path, name: str) -> list[Saved]:
    """Folders a run could be resumed from, in the same order."""
    return [state for state in _saved(folder, name, "-state") if state.path.is_dir()]


def kohya_samples(
    folder: Path,
    prompts: Sequence[Prompt],
    *,
    dialect: str,
    steps_per_epoch: int | None = None,
    last_step: int | None = None,
) -> list[Sample]:
    """Pictures (or clips) in a run's `sample` folder, oldest step first, then in the prompts' order.

    Of several of one step and prompt the newest counts: musubi draws twice when an epoch ends on a sampling step.

    Args:
        prompts: the lines of the prompt file, in its order.
        dialect: "sd-scripts" or "musubi".
        steps_per_epoch: for pictures named by epoch; without it only those drawn before training (epoch 0) count.
        last_step: where training ends; its last epoch may be cut short by that.
    """
    found = []
    for path in _listed(folder):
        match = next((m for pattern in _PICTURES[dialect] if (m := pattern.fullmatch(path.name))), None)
        step = _step(match["when"], steps_per_epoch, last_step) if match else None
        if match and step is not None:
            found.append((step, int(match["index"]), match.groupdict().get("time") or "", path))
    return _joined(found, prompts)


def ai_toolkit_samples(folder: Path, prompts: Sequence[Prompt]) -> list[Sample]:
    """Pictures in an AI-Toolkit run's `samples` folder, oldest step first, then in the prompts' order."""
    matches = ((_AI_TOOLKIT_PICTURE.fullmatch(path.name), path) for path in _listed(folder))
    return _joined([(int(m["step"]), int(m["index"]), m["time"], path) for m, path in matches if m], prompts)


def ai_toolkit_checkpoints(folder: Path, name: str) -> list[Saved]:
    """Checkpoints of an AI-Toolkit run (files, or folders of a full model), by step, the final ones last.

    What is labelled with step N has had N+1 updates: it is saved after the step with that index, counted from 0.
    """
    pattern = re.compile(
        re.escape(name) + r"(?:_LoRA)?(?:_(?P<step>\d{9}))?(?:_(?P<expert>high_noise|low_noise))?(?:\.safetensors)?"
    )
    found = []
    for path in _listed(folder):
        match = pattern.fullmatch(path.name)
        if match and (path.is_dir() or path.suffix == ".safetensors"):
            step, expert = match["step"], match["expert"] or ""
            found.append(Saved(path, "step", int(step), expert) if step else Saved(path, "final", 0, expert))
    return sorted(found, key=lambda saved: (saved.kind == "final", saved.number, saved.expert))


def is_finite_checkpoint(path: Path) -> bool | None:
    """Whether a safetensors file, or every one in a folder, holds finite weights only; None when that can't be said.

    A run that diverged ends well and saves NaN in every weight. Up to 8 MiB of a file are read whole; of a larger one
    as much, from a few places of every tensor.
    """
    files = sorted(path.rglob("*.safetensors")) if path.is_dir() else [path]
    verdicts = [_is_finite(file) for file in files]
    if False in verdicts:
        return False
    return True if verdicts and None not in verdicts else None


def _saved(folder: Path, name: str, ending: str) -> list[Saved]:
    pattern = re.compile(re.escape(name) + r"(?:-step(?P<step>\d{8,})|-(?P<epoch>\d{6,}))?" + re.escape(ending))
    found = []
    for path in _listed(folder):
        match = pattern.fullmatch(path.name)
        if match and match["step"]:
            found.append(Saved(path, "step", int(match["step"])))
        elif match and match["epoch"]:
            found.append(Saved(path, "epoch", int(match["epoch"])))
        elif match:
            found.append(Saved(path, "final"))
    order = ("epoch", "step", "final")
    return sorted(found, key=lambda saved: (order.index(saved.kind), saved.number))


def _step(when: str, steps_per_epoch: int | None, last_step: int | None) -> int | None:
    if not when.startswith("e"):
        return int(when)
    epoch = int(when[1:])
    if epoch and not steps_per_epoch:
        return None
    step = epoch * (steps_per_epoch or 0)
    return min(step, last_step) if last_step else step


def _joined(found: Iterable[tuple[int, int, str, Path]], prompts: Sequence[Prompt]) -> list[Sample]:
    """(step, index, time, path) joined with prompts by index; the newest whole one of each step and index."""
    newest: dict[tuple[int, int], Path] = {}
    for step, index, _, path in sorted(found, key=lambda entry: (entry[2], entry[3].name)):
        if index < len(prompts) and is_whole(path):
            newest[step, index] = path
    return [
        Sample(path, prompts[index].text, prompts[index].seed, step) for (step, index), path in sorted(newest.items())
    ]


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_finite(path: Path) -> bool | None:
    try:
        places = [place for place in read_header(path).places.values() if place.dtype in _EXPONENTS]
        share = min(1.0, _BUDGET / max(1, sum(place.end - place.begin for place in places)))
        with path.open("rb") as file:
            finite = all(_all_finite(file, *_EXPONENTS[p.dtype], p.begin, p.end, share) for p in places)
    except (StorageError, OSError):
        return None
    return finite if places else None


def _all_finite(file: BinaryIO, layout: str, mask: int, begin: int, end: int, share: float) -> bool:
    """Whether this share of a tensor's numbers, taken from a few places between its first and last, is finite."""
    size = np.dtype(layout).itemsize
    count = (end - begin) // size
    probes = 1 if share == 1.0 else _PROBES
    length = min(count, int(count * share) // probes + 1) if probes > 1 else count
    for probe in range(probes):
        file.seek(begin + size * ((count - length) * probe // max(1, probes - 1)))
        bits: NDArray[np.unsignedinteger] = np.frombuffer(file.read(length * size), layout)
        if np.any((bits & bits.dtype.type(mask)) == mask):
            return False
    return True
