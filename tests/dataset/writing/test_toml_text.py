from __future__ import annotations

import tomllib

import pytest

from bracket.dataset.writing.toml_text import to_toml

DOCUMENT = {
    "general": {
        "text": "C:\\users\\new \"x\" 'y' # [z]",
        "controls": "tab\t line\n del\x7f nul\x00 bell\x07",
        "letters": "größe 日本語 🙂",
        "empty": "",
        "whole": -3,
        "yes": True,
        "rate": 0.1,
        "tiny": 1e-07,
        "round": 30.0,
        "large": 1e20,
        "list": [1, 25],
        "mixed": ["a", 'b"'],
        "none": [],
        "attributes": {"a b": "c", "ü": 1, "deep": {"x": False}},
    },
    "datasets": [
        {"resolution": 512, "subsets": [{"image_dir": "/a b"}, {"image_dir": "/c", "more": {"k": "v"}}]},
        {"subsets": [{"image_dir": "/d"}]},
    ],
}


def test_what_is_written_reads_back_the_same_with_the_same_types() -> None:
    back = tomllib.loads(to_toml(DOCUMENT))
    assert back == DOCUMENT
    assert isinstance(back["general"]["round"], float) and isinstance(back["general"]["yes"], bool)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), "\udcff", [None]])
def test_what_toml_can_not_say_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        to_toml({"key": value})
