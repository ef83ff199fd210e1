"""The trainers bracket drives: their names, where they come from, and how their checkouts are told apart."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from bracket.environment import trainer_variable
from bracket.errors import TrainerError


@dataclass(frozen=True)
class Upstream:
    """One trainer as its authors publish it.

    Attributes:
        name: as code and settings call it.
        title: as people call it.
        verb: as the command line calls it.
        address: the git repository it comes from.
        pinned: the commit that bracket's adapter is written for.
        marks: files and folders (with a final slash) that only a checkout of this trainer has all of.
        pythons: the first minor version of Python 3 it runs in, and the first it does not.
        core: distributions without which no training starts.
        modules: what a training begins by importing, the trainer's own last.
        extra: what bracket's presets need on top of what the trainer itself asks for.
    """

    name: str
    title: str
    verb: str
    address: str
    pinned: str
    marks: tuple[str, ...]
    pythons: tuple[int, int]
    core: tuple[str, ...]
    modules: tuple[str, ...]
    extra: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """What `trainers install` clones unless told otherwise."""
        return trainer_variable(self.name, "SOURCE") or self.address

    @property
    def commit(self) -> str:
        """What `trainers install` checks out unless told otherwise."""
        return trainer_variable(self.name, "COMMIT") or self.pinned

    def is_in(self, folder: Path) -> bool:
        """Whether `folder` is a checkout of this trainer, of any version."""
        return all((folder / m).is_dir() if m.endswith("/") else (folder / m).is_file() for m in self.marks)


_CORE = ("torch", "torchvision", "accelerate", "diffusers", "huggingface-hub", "safetensors", "transformers")

UPSTREAMS = {
    upstream.name: upstream
    for upstream in (
        Upstream(
            "sd_scripts",
            "sd-scripts",
            "sd-scripts",
            "https://github.com/kohya-ss/sd-scripts",
            "48d368fa557731ad0488c07304dfeba8c07910eb",
            ("train_network.py", "library/"),
            (10, 13),
            (*_CORE, "einops", "imagesize", "tensorboard", "toml", "voluptuous"),
            ("torch", "accelerate", "library.train_util", "networks.lora"),
        ),
        Upstream(
            "musubi",
            "musubi-tuner",
            "musubi",
            "https://github.com/kohya-ss/musubi-tuner",
            "30c658c4f4b0bf05038b3346eff9670259b10fc7",
            ("src/musubi_tuner/",),
            (10, 13),
            (*_CORE, "av", "einops", "tensorboard", "toml", "voluptuous"),
            ("torch", "accelerate", "musubi_tuner.hv_train_network"),
            # Without tensorboard its --logging_dir fails.
            ("tensorboard", "prodigyopt"),
        ),
        Upstream(
            "ai_toolkit",
            "AI-Toolkit",
            "ai-toolkit",
            "https://github.com/ostris/ai-toolkit",
            "27a03a91f23eb1b757d5ec2e80ee3e129cfcc350",
            ("run.py", "toolkit/"),
            (10, 13),
            (*_CORE, "lycoris-lora", "optimum-quanto", "oyaml", "peft", "tensorboard", "torchaudio"),
            ("torch", "accelerate", "toolkit.config_modules", "toolkit.job"),
        ),
    )
}
TRAINERS = tuple(UPSTREAMS)


def trainer_named(text: str) -> Upstream:
    """The trainer of a name as people write it: "sd-scripts", "sd_scripts", "musubi-tuner", "AI-Toolkit", ...

    Raises:
        TrainerError: there is no such trainer.
    """
    names = {name: u for u in UPSTREAMS.values() for name in (u.name, u.title.lower(), u.verb)}
    key = text.strip().lower()
    found = names.get(key) or names.get(key.replace(" ", "-").replace("_", "-"))
    if found is None:
        near = difflib.get_close_matches(key, names, n=1)
        verbs = ", ".join(u.verb for u in UPSTREAMS.values())
        meant = f"Did you mean {names[near[0]].verb}? " if near else ""
        raise TrainerError(f"there is no trainer called {text!r}", remedy=f"{meant}There are {verbs}.")
    return found


def identify(folder: Path) -> Upstream | None:
    """Which trainer `folder` is a checkout of, None when it is none of them."""
    return next((u for u in UPSTREAMS.values() if u.is_in(folder)), None)
