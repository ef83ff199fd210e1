"""docs/trainers.md: a row for every preset, true to it, with a reason for everything that isn't as documented."""

from __future__ import annotations

import pytest

from bracket.presets import find_preset, list_presets
from tests.trainers.docs_table import PAGE, Row, rows, table

ROWS = {row.preset.name: row for row in rows()}


def test_every_preset_of_a_foreign_trainer_has_a_row() -> None:
    assert set(ROWS) == {p.name for p in list_presets() if p.trainer != "builtin"}


def test_the_page_is_what_the_presets_say_today() -> None:
    assert PAGE.read_text("utf-8").endswith(table() + "\n"), "run python -m tests.trainers.docs_table"


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_every_difference_has_a_reason_and_no_reason_is_idle(row: Row) -> None:
    assert [key for key in row.differs if not row.why.get(key)] == []
    shared = [r for r in ROWS.values() if r.own & row.own]
    assert [key for key in row.own if not any(key in r.differs for r in shared)] == []


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("sd-scripts-lumina2-lora", {"--optimizer_type": "AdamW", "--timestep_sampling": "nextdit_shift"}),
        ("sd-scripts-hunyuan-image-21-lora", {"--timestep_sampling": "sigma", "--discrete_flow_shift": 5.0}),
        ("sd-scripts-sdxl-lora", {"--network_dim": 32, "--network_alpha": 16}),
        ("musubi-wan21-t2v-14b-lora", {"--learning_rate": 2e-4, "--discrete_flow_shift": 3.0}),
        ("musubi-wan22-i2v-a14b-lora", {"--learning_rate": 2e-4, "--task": "i2v-A14B"}),
        ("musubi-hunyuan-video-lora", {"--learning_rate": 2e-4, "--discrete_flow_shift": 7.0}),
        (
            "musubi-kandinsky5-pro-t2v-lora",
            {
                "--optimizer_args": ["weight_decay=0.001", "betas=(0.9,0.95)"],
                "--lr_scheduler": "constant_with_warmup",
                "--lr_warmup_steps": 0.05,
                "--network_alpha": 32,
            },
        ),
        ("ai-toolkit-lumina2-lora", {"train.timestep_type": "lumina2_shift"}),
        ("ai-toolkit-flex2-lora", {"train.timestep_type": "shift", "train.optimizer_params.weight_decay": 1e-5}),
        ("ai-toolkit-sdxl-lora", {"network.linear": 32, "network.conv": 16}),
    ],
)
def test_baselines_are_the_documented_ones(name: str, settings: dict[str, object]) -> None:
    assert {key: ROWS[name].does.get(key) for key in settings} == settings


def test_lumina_learns_caches_and_draws_behind_its_system_prompt() -> None:
    scripts = find_preset("sd-scripts-lumina2-lora").scripts
    assert scripts and str(scripts.train.settings["--system_prompt"]).startswith("You are an assistant")
