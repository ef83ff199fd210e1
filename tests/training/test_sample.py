from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bracket.files import read_json_lines
from bracket.training.config.schema import DrawSection, PromptSection
from bracket.training.sample import main
from bracket.training.trial import sampling

Config = dict[str, Any]


@pytest.fixture
def request_of(model: Path, tmp_path: Path) -> Callable[..., tuple[int, Path]]:
    """Run the program with a request: its exit code and the folder it draws to."""

    def run(name: str, **changes: object) -> tuple[int, Path]:
        request = {
            "model": str(model),
            "checkpoint": None,
            "prompts": [{"text": "a zorp", "seed": 5}, {"text": "a zorp", "seed": 6, "negative": "grey"}],
            "out": str(tmp_path / name),
            "width": 64,
            "height": 64,
            "steps": 2,
            "guidance": 3.0,
            "text_length": 16,
            "text_layers": [1, 2, 3],
            "device": "cpu",
            **changes,
        }
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(request))
        return main([str(path)]), tmp_path / name

    return run


def drawn(folder: Path) -> list[bytes]:
    return [(folder / line["path"]).read_bytes() for line in read_json_lines(folder / sampling.INDEX)]


def test_a_checkpoint_draws_what_the_trial_drew(
    config: Config, train: Callable[..., int], request_of: Callable[..., tuple[int, Path]], cache: Path
) -> None:
    trial = Path(config["output_dir"])
    assert train(config) == 0
    code, out = request_of("winner", checkpoint=str(trial / "checkpoints" / "final"), cache_dir=str(cache))
    assert code == 0
    lines = read_json_lines(out / "index.jsonl")
    assert lines[0] == {"path": "step-000006/000-s5.png", "prompt": "a zorp", "seed": 5, "step": 6}
    from PIL import Image, ImageChops

    pair = [Image.open(folder / "step-000006" / "000-s5.png") for folder in (out, trial / "samples")]
    assert max(high for _, high in ImageChops.difference(*pair).getextrema()) <= 1


def test_the_bare_base_draws_at_step_0_and_anew_each_time(request_of: Callable[..., tuple[int, Path]]) -> None:
    code, out = request_of("base")
    assert code == 0
    first = drawn(out)
    assert [p.parent.name for p in sorted(out.rglob("*.png"))] == ["step-000000"] * 2
    request_of("base")
    assert drawn(out) == first
    assert len(set(first)) == 2


def test_batches_and_neighbours_do_not_change_a_picture(request_of: Callable[..., tuple[int, Path]]) -> None:
    from PIL import Image, ImageChops

    _, together = request_of("together", batch_size=2)
    _, alone = request_of("alone", batch_size=1)
    for name in ("000-s5.png", "001-s6.png"):
        pair = [Image.open(folder / "step-000000" / name) for folder in (together, alone)]
        assert max(high for _, high in ImageChops.difference(*pair).getextrema()) <= 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"checkpoint": "nowhere"}, "The checkpoint doesn't exist (nowhere)"),
        ({"promts": []}, "Did you mean prompts?"),
        ({"steps": 0}, "steps should be greater than or equal to 1"),
    ],
)
def test_a_bad_request_is_one_sentence(
    request_of: Callable[..., tuple[int, Path]], capsys: pytest.CaptureFixture[str], changes: Config, said: str
) -> None:
    code, out = request_of("bad", **changes)
    assert code == 2 and not out.exists()
    told = capsys.readouterr().err.strip()
    assert said in told and "\n" not in told


def test_a_folder_that_holds_no_lora_is_one_sentence(
    request_of: Callable[..., tuple[int, Path]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    code, _ = request_of("bad", checkpoint=str(empty))
    assert code == 2
    assert "holds no LoRA for this model" in capsys.readouterr().err


def test_texts_are_distinct_and_negatives_only_count_with_guidance() -> None:
    prompts = [PromptSection(text="a"), PromptSection(text="a", seed=1, negative="n"), PromptSection(text="b")]
    assert sampling.texts_of(prompts, DrawSection(guidance=1.0)) == {"a", "b"}
    assert sampling.texts_of(prompts, DrawSection(guidance=2.0)) == {"a", "b", "", "n"}


def test_pictures_that_are_listed_are_not_drawn_again_and_a_stop_is_heeded(tmp_path: Path) -> None:
    import torch
    from PIL import Image

    class Pipeline:
        transformer = torch.nn.Linear(1, 1)
        transformer.device = torch.device("cpu")  # type: ignore[assignment]
        drawn = 0

        def __call__(self, **given: Any) -> Any:
            self.drawn += len(given["generator"])
            return type("Output", (), {"images": [Image.new("RGB", (16, 16)) for _ in given["generator"]]})

    pipeline, settings = Pipeline(), DrawSection(batch_size=2, guidance=1.0)
    prompts = [PromptSection(text=t, seed=n) for n, t in enumerate("abcde")]
    embeddings = {t: torch.zeros(1, 1) for t in "abcde"}
    sampling.draw(pipeline, prompts, embeddings, settings, tmp_path, 3, stopped=lambda: pipeline.drawn >= 2)
    assert [line["prompt"] for line in read_json_lines(tmp_path / "index.jsonl")] == ["a", "b"]
    sampling.draw(pipeline, prompts, embeddings, settings, tmp_path, 3)
    assert pipeline.drawn == 5
    assert [line["prompt"] for line in read_json_lines(tmp_path / "index.jsonl")] == list("abcde")


def test_a_prompt_may_have_a_size_steps_and_guidance_of_its_own(tmp_path: Path) -> None:
    import torch
    from PIL import Image

    calls: list[tuple[int, int, float, int, bool]] = []

    class Pipeline:
        transformer = torch.nn.Linear(1, 1)
        transformer.device = torch.device("cpu")  # type: ignore[assignment]

        def __call__(self, **given: Any) -> Any:
            count, steered = len(given["generator"]), given["negative_prompt_embeds"] is not None
            calls.append((given["width"], given["num_inference_steps"], given["guidance_scale"], count, steered))
            return type("Output", (), {"images": [Image.new("RGB", (16, 16))] * count})

    prompts = [
        PromptSection(text="a"),
        PromptSection(text="b", width=96),
        PromptSection(text="c", guidance=3.0, negative="bad", steps=4),
        PromptSection(text="d"),
        PromptSection(text="e"),
    ]
    settings = DrawSection(width=64, height=64, steps=8, guidance=1.0, batch_size=4)
    embeddings = {t: torch.zeros(1, 1) for t in sampling.texts_of(prompts, settings)}
    assert set(embeddings) == {"a", "b", "c", "d", "e", "bad"}
    sampling.draw(Pipeline(), prompts, embeddings, settings, tmp_path, 3)
    assert calls == [(64, 8, 1.0, 1, False), (96, 8, 1.0, 1, False), (64, 4, 3.0, 1, True), (64, 8, 1.0, 2, False)]
    assert [line["prompt"] for line in read_json_lines(tmp_path / "index.jsonl")] == list("abcde")
