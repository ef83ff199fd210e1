"""What the two kohya trainers share, and the checker that holds their command lines to the recorded parsers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainers.presets_contract import check_argv, recorded

SDXL = recorded("sd-scripts", "sdxl_train_network.py")


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["--network_dims", "8"], "--network_dims is unknown to sdxl_train_network"),
        (["--network_di", "8"], "--network_di is unknown to sdxl_train_network"),
        (["--network_dim", "8.0"], "--network_dim: '8.0' is no int"),
        (["--network_dim"], "--network_dim: takes one value, got 0: "),
        (["--network_dim", "8", "16"], "--network_dim: takes one value, got 2: 8 16"),
        (["--network_dim", "8", "--network_dim", "8"], "--network_dim comes 2 times"),
        (["--sdpa", "yes"], "--sdpa: takes no value, got yes"),
        (["--lr_warmup_steps", "1.5"], "--lr_warmup_steps: '1.5' is no int_or_float"),
        (["--text_encoder_lr", "1e-4", "x"], "--text_encoder_lr: 'x' is no float"),
        (["--loss_type=l3"], "--loss_type: 'l3' is none of ['l1', 'l2', 'huber', 'smooth_l1']"),
    ],
)
def test_the_checker_refuses_what_argparse_refuses(argv: list[str], problem: str) -> None:
    assert check_argv(["python", "sdxl_train_network.py", *argv], SDXL) == [problem]


def test_the_checker_accepts_what_argparse_accepts() -> None:
    argv = ["--optimizer_args", "--seed=-1", "--text_encoder_lr", "1e-4", "2e-4", "--lr_warmup_steps", "10%", "--sdpa"]
    assert check_argv(argv, SDXL) == []


def test_the_checker_asks_for_what_is_required(tmp_path: Path) -> None:
    parser = tmp_path / "cache.json"
    parser.write_text('{"options": {"--vae": {}, "--dataset_config": {"type": "Path", "required": true}}}')
    assert check_argv(["--vae", "x"], parser) == ["--dataset_config is required"]
