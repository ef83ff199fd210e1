"""The table of docs/trainers.md: every preset's baseline beside its trainer's own documentation.

`python -m tests.trainers.docs_table` writes it anew from tests/data/trainer-docs.yaml and the presets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bracket.presets import Preset, list_presets
from bracket.search.space import effective
from bracket.trainers import bare_job
from bracket.trainers.ai_toolkit.config import trial_settings
from bracket.trainers.base import settings_of

_ROOT = Path(__file__).parents[2]
PAGE = _ROOT / "docs" / "trainers.md"
_TITLES = {"sd_scripts": "sd-scripts", "musubi": "musubi-tuner", "ai_toolkit": "AI-Toolkit"}
_MARK = "<!-- written by tests/trainers/docs_table.py -->\n"
_ASIDE = ("dataset.", "model.name_or_path", "sample.", "network.type", "train.validation_config")
"""Settings that the documentation's commands leave to the dataset, or that a preset is chosen by."""


@dataclass(frozen=True)
class Row:
    """A preset, what its trainer's documentation says, and why the preset says otherwise."""

    preset: Preset
    page: str
    says: Mapping[str, object]
    why: Mapping[str, str]
    """Reasons by setting, the row's own and its trainer's."""
    own: frozenset[str]
    """Settings the row itself gives a reason for."""

    @property
    def does(self) -> dict[str, object]:
        """The settings of the preset's baseline, in the trainer's dialect."""
        job = bare_job(self.preset)
        if self.preset.trainer == "ai_toolkit":
            chosen = trial_settings(job)
        else:
            assert self.preset.scripts
            baseline = effective(self.preset.baseline, self.preset.knob_list())
            chosen = {**self.preset.scripts.train.settings, **settings_of(job, baseline)}
        kept = {k: v for k, v in chosen.items() if v not in (None, False, [], ()) or k in self.says}
        return {k: v for k, v in kept.items() if not k.startswith(_ASIDE)}

    @property
    def differs(self) -> list[str]:
        """Settings that are not as the documentation has them, or are not in it."""
        does = self.does
        told = [k for k, v in self.says.items() if _plain(does.get(k)) != _plain(v)]
        return [*told, *(k for k in does if k not in self.says)]

    def line(self) -> str:
        """The row in Markdown."""
        does = self.does
        changed = [_said(k, does.get(k)) for k in self.differs]
        as_said = f"the same, but {', '.join(changed)}" if changed else "the same"
        groups: dict[str, list[str]] = {}
        for key in self.differs:
            groups.setdefault(self.why.get(key, "?"), []).append(f"`{key}`")
        reasons = "; ".join(f"{', '.join(keys)}: {reason}" for reason, keys in groups.items())
        told = ", ".join(_said(k, v) for k, v in self.says.items())
        return f"| `{self.preset.name}` | {told} ({self.page}) | {as_said} | {reasons} |"


def rows() -> list[Row]:
    """One for each preset of a foreign trainer, in the presets' order."""
    data = yaml.safe_load((_ROOT / "tests" / "data" / "trainer-docs.yaml").read_text("utf-8"))
    return [_row(p, data) for p in list_presets() if p.trainer in _TITLES]


def _row(preset: Preset, data: Mapping[str, Any]) -> Row:
    entry = _entry(preset.name, data["presets"])
    own, says = entry.get("why", {}), {k: v for k, v in entry["says"].items() if v is not None}
    return Row(preset, entry["page"], says, {**data["why"][preset.trainer], **own}, frozenset(own))


def _entry(name: str, entries: Mapping[str, Any]) -> dict[str, Any]:
    """A preset's entry, with what it takes from another's (`as`); null takes a setting away."""
    entry = dict(entries[name])
    if "as" not in entry:
        return entry
    base = _entry(entry.pop("as"), entries)
    return {**base, **entry, **{key: {**base.get(key, {}), **entry.get(key, {})} for key in ("says", "why")}}


def _plain(value: object) -> object:
    if isinstance(value, list | tuple):
        return sorted(str(_plain(v)) for v in value)
    if isinstance(value, bool) or value is None:
        return value or None
    try:
        return float(str(value))
    except ValueError:
        return str(value).lower()


def _said(key: str, value: object) -> str:
    if value is None or value is False:
        return f"no `{key}`"
    words = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return f"`{key}`" if value is True else f"`{key} {words}`"


def table() -> str:
    """The tables, one a trainer."""
    return "\n".join(_tables())


def _tables() -> Iterator[str]:
    for trainer, title in _TITLES.items():
        yield f"\n## {title}\n"
        yield "| Preset | The documentation | The preset | Why it differs |"
        yield "| --- | --- | --- | --- |"
        yield from (row.line() for row in rows() if row.preset.trainer == trainer)


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text("utf-8").partition(_MARK)[0] + _MARK + table() + "\n", encoding="utf-8")
