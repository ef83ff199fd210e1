from __future__ import annotations

from pathlib import Path

import pytest

from bracket.domain import Problem
from bracket.errors import PresetError
from bracket.weights import check_weight
from tests.weights.conftest import Writer
from tests.weights.made import recorded, shapes_of, write_safetensors
from tests.weights.test_identify import tiny


def level(problem: Problem | None) -> str:
    return problem.level if problem else "fits"


@pytest.mark.parametrize(
    ("model", "expected", "message"),
    [
        ("sdxl unet (sd-scripts)", ["z-image"], "DiT: this is SDXL, Z-Image was expected"),
        ("flux.2 klein 4b (musubi)", ["flux2-klein-9b"], "DiT: this is FLUX.2 klein 4B, FLUX.2 klein 9B was expected"),
        ("qwen3 8b (transformers)", ["qwen3-4b"], "DiT: this is Qwen3 8B, Qwen3 4B was expected"),
        (
            "wan 2.1 i2v 14b (musubi)",
            ["wan2.1-1.3b", "wan2.1-14b-t2v"],
            "DiT: this is Wan 2.1 14B image-to-video, Wan 2.1 1.3B or Wan 2.1 14B text-to-video was expected",
        ),
        (
            "vae of sdxl (diffusers)",
            ["vae-flux"],
            "DiT: this is the VAE of SD and SDXL (4 channels), the VAE of FLUX.1 and SD 3 (16 channels) was expected",
        ),
        ("umt5-xxl (transformers)", ["t5-xxl"], "DiT: this is UMT5-XXL, T5-XXL was expected"),
    ],
)
def test_a_wrong_model_is_named_with_the_right_one(
    model: str, expected: list[str], message: str, file_of: Writer
) -> None:
    problem = check_weight(file_of(model), expected, "DiT")
    assert problem is not None
    assert (problem.level, problem.message) == ("error", message)


@pytest.mark.parametrize("model", sorted(recorded()))
def test_the_right_model_fits_and_a_tiny_one_is_at_most_warned_of(model: str, tmp_path: Path, file_of: Writer) -> None:
    kind, shapes = recorded()[model]
    assert check_weight(file_of(model), [kind], "DiT") is None
    assert level(check_weight(write_safetensors(tmp_path / "t.safetensors", tiny(shapes)), [kind], "DiT")) != "error"


def test_a_family_takes_all_its_sizes_and_a_size_warns_of_an_unknown_one(tmp_path: Path, file_of: Writer) -> None:
    assert check_weight(file_of("flux.2 klein 4b (musubi)"), ["flux2"], "DiT") is None
    path = write_safetensors(tmp_path / "x.safetensors", tiny(shapes_of("flux.2 klein 4b (musubi)")))
    problem = check_weight(path, ["flux2-klein-4b"], "DiT")
    assert problem is not None and problem.level == "warning"
    assert problem.message == "DiT: this is FLUX.2, but its size or version can't be told; FLUX.2 klein 4B was expected"


def test_kinds_that_look_alike_are_taken_by_either_name(file_of: Writer) -> None:
    path = file_of("qwen-image (musubi)")
    assert check_weight(path, ["qwen-image-edit"], "DiT") is None
    assert check_weight(file_of("vae of wan 2.1 (musubi)"), ["vae-qwen-image"], "VAE") is None
    assert check_weight(file_of("wan 2.2 i2v a14b (musubi)"), ["wan2.2-14b"], "DiT") is None


def test_a_part_inside_a_whole_model_is_only_warned_of(tmp_path: Path) -> None:
    shapes = shapes_of("lumina 2 (sd-scripts)", "model.diffusion_model.") | shapes_of("vae of flux.1 (musubi)", "vae.")
    path = write_safetensors(tmp_path / "whole.safetensors", shapes)
    assert check_weight(path, ["lumina2"], "DiT") is None
    assert level(check_weight(path, ["vae-flux"], "VAE")) == "warning"
    assert level(check_weight(path, ["gemma2-2b"], "Gemma")) == "error"


def test_an_adapter_is_no_base(tmp_path: Path) -> None:
    path = write_safetensors(
        tmp_path / "l.safetensors", {"a.lora_down.weight": (8, 8)}, {"ss_base_model_version": "sd3m"}
    )
    problem = check_weight(path, ["sdxl"], "Checkpoint")
    assert str(problem).startswith("Checkpoint: this is a LoRA for Stable Diffusion 3, SDXL was expected")


def test_what_cannot_be_told_is_a_warning(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "new.safetensors", {"some.weight": (2, 2)})
    assert level(check_weight(path, ["sdxl"], "DiT")) == "warning"
    for name in ("old.ckpt", "te.PTH", "q.weights"):
        (tmp_path / name).write_bytes(b"anything")
        problem = check_weight(tmp_path / name, ["sdxl"], "DiT")
        suffix = Path(name).suffix.lower()
        assert problem is not None and problem.level == "warning"
        assert problem.message == f"DiT: a {suffix} file can't be looked into without loading it; SDXL was expected"
    (tmp_path / "empty").mkdir()
    assert level(check_weight(tmp_path / "empty", ["sdxl"], "DiT")) == "warning"


def test_a_damaged_file_says_just_that(tmp_path: Path, file_of: Writer) -> None:
    page = tmp_path / "página web.safetensors"
    page.write_bytes(b"<!doctype html>")
    problem = check_weight(page, ["sdxl"], "Checkpoint")
    assert problem is not None and problem.level == "error"
    assert problem.message == "Checkpoint: this is a web page, not weights"
    assert problem.path == page
    short = file_of("z-image (musubi)", "short.safetensors")
    with short.open("r+b") as file:
        file.truncate(short.stat().st_size - 8)
    assert "cut short" in str(check_weight(short, ["z-image"], "DiT"))
    assert "does not exist" in str(check_weight(tmp_path / "none.safetensors", ["z-image"], "DiT"))


def test_where_nothing_is_expected_it_must_only_be_whole(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "new.safetensors", {"some.weight": (2, 2)})
    assert check_weight(path, [], "DiT") is None
    assert level(check_weight(tmp_path / "none.safetensors", [], "DiT")) == "error"


def test_an_expectation_that_is_no_kind_is_the_presets_mistake(tmp_path: Path) -> None:
    with pytest.raises(PresetError, match="Did you mean 'z-image'"):
        check_weight(tmp_path / "x.safetensors", ["zimage"], "DiT")
