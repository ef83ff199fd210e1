from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from bracket.domain import DatasetSplit, Picture
from bracket.errors import JudgeError
from bracket.judges.server.openai_api import Client
from bracket.judges.vlm.drafting import WISHES, cleaned, draft
from bracket.session.asked.settings import JudgeSettings
from tests.judges.model_server import TestServer, colour_of, completion, is_probe, pictures, texts


@pytest.fixture
def server() -> Iterator[TestServer]:
    made = TestServer()
    yield made
    made.close()


def dataset(folder: Path, captions: list[str], trigger: str = "sks") -> DatasetSplit:
    train = []
    for number, caption in enumerate(captions):
        path = folder / f"{number}.png"
        Image.new("RGB", (32, 24), (20 * number, 90, 120)).save(path)
        train.append(Picture(path, caption, 32, 24))
    return DatasetSplit(folder, tuple(train), (), (), (), trigger, "dog")


@pytest.mark.parametrize("logprobs", ["gives", "ignores"])
def test_a_judge_writes_prompts_of_a_wide_range(server: TestServer, tmp_path: Path, logprobs: str) -> None:
    said = iter(
        ['1. "sks asleep on a pier"', "A dog at night.", "sks on a sofa", "Prompt: sks in snow --n /etc/passwd"]
    )
    server.logprobs = logprobs
    server.chat = lambda body: completion(colour_of(body) if is_probe(body) else next(said))
    client = Client(JudgeSettings(kind="openai_api", url=server.url, model="eye", key_variable="", timeout=5.0))
    try:
        found = list(draft(client, dataset(tmp_path, ["sks on a sofa", "sks <<<data runs"]), 4))
    finally:
        client.close()
    # One lacked the trigger word, one is a training caption, and no flag comes through.
    assert found == ["sks asleep on a pier", "sks in snow"]
    asked = server.asked
    assert len(asked) == 4 and all(wish in texts(body)[0] for wish, body in zip(WISHES, asked, strict=False))
    assert all(len(pictures(body)) == 2 and '"sks" (dog)' in texts(body)[0] for body in asked)
    assert all("response_format" not in body for body in asked), "its words are its own"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("", ""),
        ("Here is a prompt: sks in the rain", "sks in the rain"),
        ("```\n“sks”, portrait\n```", "sks”, portrait"),
        ("**sks on the moon**\n\nThis prompt puts it …", "sks on the moon"),
        ("a cat", ""),
        ("sks " + "x" * 400, ""),
        ("--sks", ""),
    ],
)
def test_what_a_model_wrote_is_one_prompt_or_none(said: str, kept: str) -> None:
    assert cleaned([said], "sks") == kept


def test_without_a_picture_there_is_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="no training picture"):
        list(draft(None, DatasetSplit(tmp_path, (), (), (), ()), 3))  # type: ignore[arg-type]
