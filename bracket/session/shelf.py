"""What presets need and what of it is here: for the picker in the app and `presets` on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bracket.errors import BracketError
from bracket.homes import UPSTREAMS, known_home
from bracket.presets import Preset
from bracket.runner.devices import Device, devices


@dataclass(frozen=True)
class Here:
    """A preset beside this machine.

    Attributes:
        trainer: what people call its trainer. installed: whether bracket knows where that is.
        found: how many of the weights it can't do without are here, of `needed`.
        fits: None where no GPU is seen or the preset names no memory.
    """

    preset: Preset
    trainer: str
    installed: bool
    found: int
    needed: int
    fits: bool | None

    @property
    def needs(self) -> str:
        """ "16 GB · sd-scripts"."""
        gb = f"{self.preset.least_gb} GB · " if self.preset.least_gb else ""
        return gb + self.trainer

    @property
    def ready(self) -> bool:
        return self.installed and self.found == self.needed and self.fits is not False

    @property
    def lacks(self) -> str:
        """What is not here, in words; "all here" where nothing is amiss."""
        missing = self.needed - self.found
        parts = [
            f"{self.trainer} not installed" if not self.installed else "",
            f"{missing} of {self.needed} weights missing" if missing else "",
            "too big for this GPU" if self.fits is False else "",
        ]
        return ", ".join(filter(None, parts)) or "all here"


def shelf(presets: Iterable[Preset]) -> list[Here]:
    """Each preset beside this machine; looks at the disk and the GPUs."""
    presets, gpus = list(presets), [d for d in devices() if d.kind == "cuda"]
    homes = {name: _installed(name) for name in {p.trainer for p in presets}}
    return [_beside(p, homes[p.trainer], gpus) for p in presets]


def grouped(found: Sequence[Here]) -> list[Here]:
    """In the order given, but all of a model where its first one stands."""
    families = list(dict.fromkeys(h.preset.family for h in found))
    return sorted(found, key=lambda h: families.index(h.preset.family))


def _beside(preset: Preset, installed: bool, gpus: Sequence[Device]) -> Here:
    needed = [s for s in preset.weights if not s.optional]
    lacking = [s for s in needed if not preset.has_weight(s)]
    most = max((d.memory for d in gpus), default=0) / 1e9
    fits = most >= preset.least_gb * 0.9 if most and preset.least_gb else None
    upstream = UPSTREAMS.get(preset.trainer)
    title = upstream.title if upstream else "built-in trainer"
    return Here(preset, title, installed, len(needed) - len(lacking), len(needed), fits)


def _installed(trainer: str) -> bool:
    try:
        return trainer not in UPSTREAMS or known_home(trainer) is not None
    except BracketError:  # its list of homes is damaged, which the trainer's own check says
        return False
