"""What whoever comes over the network may not name: programs and their words, keys for servers, files elsewhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from bracket.dataset.reading.prompts import FILE_FLAGS, parse_prompts
from bracket.environment import presets_folder
from bracket.errors import PresetError
from bracket.judges.server.addresses import belongs
from bracket.judges.vlm.rubric import find_rubric
from bracket.session.asked.settings import JudgeSettings, SessionSettings
from bracket.ui.shared.context import Context, only_here


def held(context: Context, settings: SessionSettings) -> SessionSettings:
    """The settings, where this request may ask for them.

    Raises:
        SettingsError: it came over the network and names what is set up at the machine itself.
    """
    if settings.extra_args:
        only_here("adding words to the training command")
    typed = parse_prompts("\n".join(settings.dataset.own_prompts))
    if any(flag in line.flags for line in typed for flag in FILE_FLAGS):
        only_here("naming a file in a prompt")
    narrowed(context, settings.judges)
    return settings


def narrowed(context: Context, judges: Iterable[JudgeSettings]) -> None:
    """Hold judges to the same.

    Raises:
        SettingsError: as `held`.
        PresetError: a rubric is no YAML file.
    """
    for judge in judges:
        if (
            judge.kind == "openai_api"
            and os.environ.get(judge.key_variable)
            and not belongs(judge.url, judge.key_variable)
        ):
            only_here(f"sending the variable {judge.key_variable} to a server that it wasn't set up for")
        if judge.rubric:
            rubric_allowed(context, judge.rubric)


def rubric_allowed(context: Context, path: str, text: str = "") -> None:
    """Hold a rubric to files that are rubrics.

    Args:
        text: what it says, whose `extends` names a further file.

    Raises:
        SettingsError: over the network, one that is neither bracket's own nor in the folder of sessions.
        PresetError: it is no YAML file, or there is none of this name.
    """
    extended = re.findall(r"(?m)^\s*['\"]?extends['\"]?\s*:\s*['\"]?([^'\"#\n]+)", text)
    files = [find_rubric(path), *(find_rubric(path).parent / name.strip() for name in extended)]
    for file in files:
        real = Path(os.path.realpath(file))
        if real.suffix not in (".yaml", ".yml"):
            raise PresetError("a rubric's file ends in .yaml", path=file, remedy="Choose another file.")
        if not any(real.is_relative_to(os.path.realpath(home)) for home in (presets_folder(), context.runs)):
            only_here("reading a rubric outside the folder of sessions")
