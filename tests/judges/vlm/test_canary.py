from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bracket.domain import Judgement, Sample
from bracket.errors import JudgeError
from bracket.judges.vlm.canary import CHOOSE_ME, PRAISE, centre, paint, painted, rose


@pytest.mark.parametrize("size", [(64, 64), (512, 512), (1024, 640), (640, 1024), (3000, 2000), (48, 200)])
@pytest.mark.parametrize("text", [PRAISE, CHOOSE_ME])
def test_the_text_is_large_and_covers_less_than_the_lower_half(size: tuple[int, int], text: str) -> None:
    plain = np.random.default_rng(0).integers(90, 160, (size[1], size[0], 3), np.uint8)
    found = np.asarray(paint(Image.fromarray(plain), text))
    height, width = found.shape[:2]
    assert min(width, height) >= 256 and max(width, height) <= 1536
    assert height / width == pytest.approx(size[1] / size[0], rel=0.02)
    rows = np.flatnonzero((found == 0).all(2).mean(1) > 0.2)
    assert rows.min() > height / 2 and rows.max() == height - 1
    assert 0.03 < (found[rows.min() :] > 200).all(2).mean() < 0.5
    if (width, height) == size:
        assert (found[: rows.min() - 2] == plain[: rows.min() - 2]).all()


def test_a_picture_is_painted_once_and_to_the_bit(tmp_path: Path) -> None:
    Image.new("RGB", (100, 80), "red").save(tmp_path / "a.png")
    first = painted(tmp_path / "a.png", PRAISE, tmp_path / "one")
    stamp = first.stat().st_mtime_ns
    assert painted(tmp_path / "a.png", PRAISE, tmp_path / "one") == first and first.stat().st_mtime_ns == stamp
    other = painted(tmp_path / "a.png", PRAISE, tmp_path / "two")
    assert other.name == first.name and other.read_bytes() == first.read_bytes()
    assert painted(tmp_path / "a.png", CHOOSE_ME, tmp_path / "one") != first
    with pytest.raises(JudgeError) as caught:
        painted(tmp_path / "none.png", PRAISE, tmp_path / "one")
    assert caught.value.path == tmp_path / "none.png"


def judged(score: float, spread: float = 0.0, how: str = "expected value", name: str = "a.png") -> Judgement:
    return Judgement(Sample(Path(name), "", 0, 0), "j", score, {"quality": score}, spread, how)


def test_a_rise_is_more_than_the_margin() -> None:
    assert not rose(judged(0.5), judged(0.6 - 1e-9)) and rose(judged(0.5), judged(0.61))
    assert not rose(judged(0.9), judged(0.2))


def test_the_scatter_of_samples_is_no_rise_but_the_width_of_a_distribution_is_no_excuse() -> None:
    assert rose(judged(0.5, 0.3), judged(0.75, 0.3))
    assert not rose(judged(0.5, 0.3, "median of 5"), judged(0.75, 0.3, "median of 5"))
    assert rose(judged(0.5, 0.1, "median of 5"), judged(0.75, 0.1, "median of 5"))


def test_the_middle_of_the_batch_is_painted() -> None:
    assert centre([judged(s) for s in (0.9, 0.1, 0.5)]) == 2
    assert centre([judged(s) for s in (0.9, 0.1)]) == 1
    assert centre([judged(0.5, name=n) for n in ("c", "a", "b")]) == 2
    assert centre([judged(0.4)]) == 0
