"""What is said of a model that can't judge here, before any of it is loaded; the asker then says the same."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bracket.environment import child_env
from bracket.errors import JudgeError
from bracket.judges.asking import Question
from bracket.judges.local import check as vl_check
from bracket.judges.local.check import DEFAULT, check_local
from bracket.judges.local.qwen_vl import LocalModel
from bracket.runner.devices import Device
from bracket.session.asked.settings import JudgeSettings
from tests.judges import tiny_vl


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("vl")
    return {family: tiny_vl.build(family, place / family) for family in tiny_vl.FAMILIES}


def _settings(model: Path | str, **more: Any) -> JudgeSettings:
    return JudgeSettings(kind="qwen_vl", model=str(model), device="cpu", **more)


def _question() -> Question:
    return Question("", "Which is better?", (), ("A", "B", "T"))


def _said(settings: JudgeSettings) -> str:
    (problem,) = check_local(settings)
    assert problem.level == "error", problem
    with pytest.raises(JudgeError) as caught:
        LocalModel(settings).ask([_question()], repeats=1)
    assert caught.value.message.startswith(problem.message) and caught.value.path is None
    return str(problem)


@pytest.mark.parametrize("family", tiny_vl.FAMILIES)
def test_check_finds_nothing(family: str, folders: dict[str, Path]) -> None:
    assert check_local(_settings(folders[family])) == []


def test_check_tells_what_the_folder_is(scorer: Path, tmp_path: Path, folders: dict[str, Path]) -> None:
    assert "folder is missing" in _said(_settings(tmp_path / "gone"))
    assert "CLIP-like model (clip)" in _said(_settings(scorer))
    configs = {
        "text": ({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}, "a text model (Qwen3ForCausalLM)"),
        "t5": ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, "can't see pictures"),
        "unet": ({"_class_name": "UNet2DConditionModel"}, "a part of a diffusion model"),
        "bert": ({"model_type": "bert", "architectures": ["BertModel"]}, "of type 'bert'"),
    }
    for name, (config, words) in configs.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        assert words in _said(_settings(tmp_path / name))
    (tmp_path / "pipe").mkdir()
    (tmp_path / "pipe" / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    assert "it draws" in _said(_settings(tmp_path / "pipe"))
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "adapter_config.json").write_text("{}")
    assert "a LoRA" in _said(_settings(tmp_path / "lora"))
    (tmp_path / "empty").mkdir()
    assert "no config.json" in _said(_settings(tmp_path / "empty"))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "config.json").write_text("{")
    assert "no readable config.json" in _said(_settings(tmp_path / "bad"))
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    assert "GGUF" in _said(_settings(tmp_path / "m.gguf"))


def test_check_finds_missing_parts(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(folders["qwen3_vl"], folder)
    shards = sorted(folder.glob("*.safetensors"))
    whole = shards[1].read_bytes()
    shards[1].unlink()
    assert f"lacks 1 of its {len(shards)} weight files" in _said(_settings(folder))
    shards[1].write_bytes(whole[:-100])
    assert "cut short" in _said(_settings(folder))
    shards[1].write_bytes(whole)
    (folder / "tokenizer.json").unlink()
    (folder / "preprocessor_config.json").unlink()
    assert "lacks tokenizer.json and preprocessor_config.json" in _said(_settings(folder))


def test_weights_that_lack_a_part_are_not_made_up(folders: dict[str, Path], tmp_path: Path) -> None:
    """Headers can't tell; transformers would fill the gap with random numbers."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(folders["qwen3_vl"], folder)
    tensors: dict[str, Any] = {}
    for shard in folder.glob("*.safetensors"):
        tensors |= load_file(shard)
        shard.unlink()
    (folder / "model.safetensors.index.json").unlink()
    gone = next(name for name in tensors if "q_proj" in name)
    save_file({k: v for k, v in tensors.items() if k != gone}, folder / "model.safetensors", {"format": "pt"})
    assert check_local(_settings(folder)) == []
    with pytest.raises(JudgeError, match=r"lack 1 of the model's parts, such as .*q_proj"):
        LocalModel(_settings(folder)).ask([_question()], repeats=1)


def test_check_of_hub_ids(monkeypatch: pytest.MonkeyPatch, folders: dict[str, Path], tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "downloads are off" in str(check_local(_settings("Qwen/Tiny-2B"))[0])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    first, *_ = check_local(_settings(""))
    assert first.level == "info" and f"{DEFAULT} (about 18 GB) will be downloaded" in first.message
    repo = tmp_path / "models--Qwen--Tiny-2B"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("abc")
    shutil.copytree(folders["qwen3_vl"], repo / "snapshots" / "abc")
    assert check_local(_settings("Qwen/Tiny-2B")) == []
    assert LocalModel(_settings("Qwen/Tiny-2B")).ask([_question()], repeats=1)[0].chances
    next((repo / "snapshots" / "abc").glob("*.safetensors")).unlink()
    assert "will be downloaded" in check_local(_settings("Qwen/Tiny-2B"))[0].message


def _on(monkeypatch: pytest.MonkeyPatch, device: Device) -> None:
    monkeypatch.setattr(vl_check, "devices", lambda: [device])


def test_check_weighs_the_model(monkeypatch: pytest.MonkeyPatch, folders: dict[str, Path], tmp_path: Path) -> None:
    """By hand: 10 GB of bfloat16 in a file that is all hole."""
    folder = tmp_path / "big"
    shutil.copytree(folders["qwen3_vl"], folder)
    for shard in folder.glob("model*"):
        shard.unlink()
    count = 5_000_000_000
    _hole(folder / "model.safetensors", {"big.weight": [count // 1000, 1000]})
    small = Device("cuda:0", "cuda", "A card", 8 << 30)
    assert vl_check.memory_needed(folder, small, "") == pytest.approx(10 + 1.5)
    assert vl_check.memory_needed(folder, small, "4bit") == pytest.approx(5 * 0.5625 + 1.5)
    assert vl_check.memory_needed(folder, Device("cpu", "cpu", "", 0), "") == pytest.approx(20 + 1.5)
    _on(monkeypatch, small)
    settings = JudgeSettings(model=str(folder))
    (problem,) = check_local(settings)
    assert problem.message == "the judge's model needs about 12 GB in bfloat16, and A card has 9 GB"
    assert "4 bits" in problem.remedy and problem.level == "error"
    with pytest.raises(JudgeError, match="needs about 12 GB"):
        LocalModel(settings).ask([_question()], repeats=1)
    _on(monkeypatch, Device("cuda:0", "cuda", "A card", 24 << 30))
    assert check_local(settings) == []
    _on(monkeypatch, Device("cpu", "cpu", "A CPU", 64 << 30))
    assert [p.level for p in check_local(settings)] == ["warning"]


def _hole(path: Path, shapes: dict[str, list[int]]) -> None:
    """A safetensors file of zeros that takes no room on the disk."""
    at, header = 0, {}
    for name, shape in shapes.items():
        end = at + 2 * math.prod(shape)
        header[name], at = {"dtype": "BF16", "shape": shape, "data_offsets": [at, end]}, end
    data = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(data).to_bytes(8, "little") + data)
        file.truncate(8 + len(data) + at)


def test_check_of_devices_and_quantisation(
    monkeypatch: pytest.MonkeyPatch, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = folders["qwen3_vl"]
    assert "need an NVIDIA GPU" in _said(_settings(folder, quantize="4bit"))
    _on(monkeypatch, Device("cuda:0", "cuda", "A card", 24 << 30))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (problem,) = check_local(JudgeSettings(model=str(folder), quantize="8bit"))
    assert "8-bit weights need the package bitsandbytes" in problem.message
    (problem,) = check_local(JudgeSettings(model=str(folder), device="cuda:3"))
    assert "'cuda:3' isn't here" in problem.message
    monkeypatch.undo()
    ready = tmp_path / "fp8"
    shutil.copytree(folder, ready)
    config = json.loads((ready / "config.json").read_text())
    (ready / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "fp8"}}))
    assert "quantised for NVIDIA GPUs" in _said(_settings(ready))
    _on(monkeypatch, Device("cuda:0", "cuda", "A card", 24 << 30))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    (problem,) = check_local(JudgeSettings(model=str(ready), quantize="4bit"))
    assert "quantised already" in problem.message


def test_a_gpu_that_torch_cannot_use(monkeypatch: pytest.MonkeyPatch, folders: dict[str, Path]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this torch can use its GPU")
    _on(monkeypatch, Device("cuda:0", "cuda", "A card", 24 << 30))
    asker = LocalModel(JudgeSettings(model=str(folders["qwen3_vl"])))
    assert asker.exclusive
    with pytest.raises(JudgeError, match="this torch can't use it"):
        asker.ask([_question()], repeats=1)


def test_checking_needs_no_torch(folders: dict[str, Path]) -> None:
    code = (
        "import sys; from bracket.judges.local.qwen_vl import LocalModel, check_local\n"
        "from bracket.session.asked.settings import JudgeSettings\n"
        "settings = JudgeSettings(model=sys.argv[1], device='cpu')\n"
        "assert check_local(settings) == []; LocalModel(settings).identity\n"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(folders["qwen3_vl"])]
    run = subprocess.run(command, capture_output=True, text=True, env=child_env(), check=False)
    assert (run.stdout.strip(), run.returncode) == ("[]", 0), run.stderr
