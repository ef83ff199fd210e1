from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from bracket.training.process.ranks import Ranks

Config = dict[str, Any]


def test_alone_nothing_is_exchanged() -> None:
    ranks = Ranks()
    figures = torch.tensor([1.0, 2.0])
    assert ranks.first and ranks.mean(figures) is figures
    assert ranks.any(True) and not ranks.any(False)


@pytest.mark.slow
def test_two_processes_train_as_one_that_accumulates_two_passes(config: Config, train: Any, tmp_path: Path) -> None:
    """Started as torchrun and `accelerate launch` do, on a CPU; equal to the bit, and only the first one writes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = tmp_path / "two.yaml"
    path.write_text(yaml.safe_dump({**config, "output_dir": str(tmp_path / "two")}))
    root = str(Path(__file__).parents[3])
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "bracket.training", str(path)],
            env={
                **os.environ,
                "PYTHONPATH": root,
                "WORLD_SIZE": "2",
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    told = [process.communicate(timeout=100)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    assert (tmp_path / "two" / "checkpoints" / "final" / "complete").exists()
    assert len(list((tmp_path / "two" / "tfevents").iterdir())) == 1
    one = tmp_path / "one"
    assert train(config, output_dir=str(one), train__gradient_accumulation=2) == 0
    name = "checkpoints/final/pytorch_lora_weights.safetensors"
    assert (tmp_path / "two" / name).read_bytes() == (one / name).read_bytes()
