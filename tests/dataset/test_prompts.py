from __future__ import annotations

from pathlib import Path

import pytest

from bracket.dataset import PromptLine, parse_prompts, read_prompts
from bracket.errors import DatasetError


def test_a_prompt_a_line_without_comments_and_blanks() -> None:
    text = "# search prompts\n\na red  cat\n   a dog -- asleep, half-seen \r\n"
    assert parse_prompts(text) == (PromptLine("a red cat"), PromptLine("a dog -- asleep, half-seen"))


def test_flags_take_their_own_words_and_the_negative_takes_all_to_the_next() -> None:
    line = "a cat on a mat --d 42 --n blurry, low quality -- ugly --w 768 --h 512 --s 20 --l 4.5 --i frame.png"
    assert parse_prompts(line) == (
        PromptLine(
            "a cat on a mat",
            {"d": "42", "n": "blurry, low quality -- ugly", "w": "768", "h": "512"}
            | {"s": "20", "l": "4.5", "i": "frame.png"},
        ),
    )


def test_an_empty_negative_is_none() -> None:
    assert parse_prompts("a cat --n --d 1") == (PromptLine("a cat", {"d": "1"}),)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a cat --d", "--d has no value"),
        ("a cat --d --w 64", "--d has no value"),
        ("a cat --w wide", "--w takes a whole number from 16 to 8192, not 'wide'"),
        ("a cat --d 0", "--d takes a whole number from 1 to 2147483647, not '0'"),
        ("a cat --d 4294967296", "--d takes"),
        ("a cat --D -5", "--D takes"),
        ("a cat --h 10000000000000000000000", "--h takes"),
        ("a cat --l nan", "--l takes a number from 0 to 1000, not 'nan'"),
        ("a cat --g inf", "--g takes"),
        ("a cat --s ٣", "--s takes"),
        ("a cat --d 5 on a mat", "'on a mat' after --d 5 belongs to no flag"),
        ("--d 5 a cat", "there is no prompt before the first flag"),
    ],
)
def test_what_cannot_be_understood_names_line_and_file(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text(f"a dog\n{line}\n")
    with pytest.raises(DatasetError) as caught:
        read_prompts(path)
    assert caught.value.message.startswith(f"Line 2: {message}")
    assert caught.value.path == path


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    for data, message in (
        (b"\xff\xd8\xff\xe0", "not UTF-8 text"),
        (b"a\0b", "not a text file"),
        (b"a" * 1_000_001, "large"),
    ):
        path = tmp_path / "prompts.txt"
        path.write_bytes(data)
        with pytest.raises(DatasetError, match=message):
            read_prompts(path)
