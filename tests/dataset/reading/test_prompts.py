from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bracket.dataset import PromptLine, parse_prompts, read_prompts
from bracket.dataset.reading.prompts import SAMPLING, caption_text, sampling
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


@pytest.mark.parametrize(
    ("line", "flags", "unknown"),
    [
        ("a cat --W 64 --H 96 --D 7", {"w": "64", "h": "96", "d": "7"}, ()),
        ("a cat --seed 7 --cfg 3.5 --STEPS 20", {"d": "7", "l": "3.5", "s": "20"}, ()),
        ("a cat --frames 17 --fps 16 --fs 3", {"f": "17", "fps": "16", "fs": "3"}, ()),
        ("a cat --w=64 --d=5", {"w": "64", "d": "5"}, ()),
        ("a cat --N ugly, bad --g 2.5", {"n": "ugly, bad", "g": "2.5"}, ()),
        ("a cat --ar 3:2 --stylize 50 --d 5", {"d": "5"}, ("ar", "stylize")),
        ("a cat --ss euler_a --ctr 0.25", {"ss": "euler_a", "ctr": "0.25"}, ()),
        ("a cat--d 5", {}, ()),
    ],
)
def test_flags_of_any_trainer_in_any_case(line: str, flags: dict[str, str], unknown: tuple[str, ...]) -> None:
    (found,) = parse_prompts(line)
    assert (found.flags, found.unknown) == (flags, unknown)


def test_a_comment_has_a_blank_after_its_sign_and_a_tag_has_none() -> None:
    text = "# a comment\n#\n## heading\n#1girl, smile --d 3\n#\ttoo\na #cat\n"
    assert parse_prompts(text) == (PromptLine("#1girl, smile", {"d": "3"}), PromptLine("a #cat"))


def test_each_trainer_gets_the_flags_it_knows_under_its_names() -> None:
    (line,) = parse_prompts("a cat --w 64 --h 96 --s 20 --l 4 --g 2.5 --f 17 --fs 3 --n bad --ci c.png")
    shared = {"width": 64, "height": 96}
    assert sampling("sd_scripts", line.flags) == {
        **shared, "sample_steps": 20, "scale": 4.0, "guidance_scale": 2.5, "flow_shift": 3.0,
        "negative_prompt": "bad",
    }  # fmt: skip
    assert sampling("musubi", line.flags) == {
        **shared, "sample_steps": 20, "cfg_scale": 4.0, "guidance_scale": 2.5, "frame_count": 17,
        "discrete_flow_shift": 3.0, "negative_prompt": "bad", "control_image_path": ["c.png"],
    }  # fmt: skip
    assert sampling("ai_toolkit", line.flags) == {
        **shared, "sample_steps": 20, "guidance_scale": 4.0, "num_frames": 17, "neg": "bad"
    }  # fmt: skip
    assert sampling("builtin", line.flags) == {**shared, "steps": 20, "guidance": 2.5, "negative": "bad"}
    assert sampling("", line.flags) == {}


def test_a_file_that_a_prompt_names_lies_beside_the_prompt_file(tmp_path: Path) -> None:
    (tmp_path / "first frame.png").write_bytes(b"x")
    (tmp_path / "prompts.txt").write_text("a walk --i first frame.png --ei gone.png\n")
    assert read_prompts(tmp_path / "prompts.txt")[0].flags == {"i": str(tmp_path / "first frame.png"), "ei": "gone.png"}


@pytest.mark.parametrize(
    ("reader", "caption"),
    [("sd_scripts", "one"), ("musubi", "one\n\ntwo three"), ("ai_toolkit", "one\n\ntwo three"),
     ("builtin", "one two three"), ("", "one two three")],
)  # fmt: skip
def test_a_caption_of_several_lines_is_what_the_trainer_reads(reader: str, caption: str) -> None:
    assert caption_text("one\r\n\r\ntwo  three \n", reader) == caption
    assert caption_text(" one\u2028still one", reader) == "one still one"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("a ca\u0301t\r\n".encode("utf-8-sig"), "a cát"),
        ("a cát\r\n".encode("utf-16"), "a cát"),
        (b"\xff\xfea\0", "a"),
        ("a cát".encode("cp1252"), None),
        ("a cát".encode("utf-16-be"), None),
        ("a cát".encode("utf-32"), None),
    ],
)
def test_encodings_are_read_or_refused(tmp_path: Path, data: bytes, text: str | None) -> None:
    (tmp_path / "prompts.txt").write_bytes(data)
    if text is None:
        with pytest.raises(DatasetError, match="UTF-8"):
            read_prompts(tmp_path / "prompts.txt")
    else:
        (line,) = read_prompts(tmp_path / "prompts.txt")
        assert unicodedata.normalize("NFC", line.text) == text


@given(st.text(max_size=200))
def test_any_text_is_prompts_or_one_sentence(text: str) -> None:
    try:
        lines = parse_prompts(text)
    except DatasetError as error:
        assert error.message.startswith("Line ")
        return
    for line in lines:
        assert line.text and all(json.dumps(sampling(t, line.flags), allow_nan=False) for t in SAMPLING)
