from __future__ import annotations

from pathlib import Path

import pytest

from bracket.dataset import bucket_of, bucket_sizes, buckets
from bracket.domain import Picture


def test_sizes_of_a_small_resolution_by_hand() -> None:
    # 64² = 4096 pixels: 48×80 = 3840 (5:3), 64×64; 32×96 and 96×32 are 3:1, beyond 2:1
    assert bucket_sizes(64) == ((48, 80), (64, 64), (80, 48))


@pytest.mark.parametrize("resolution", [16, 64, 512, 768, 1024])
def test_no_size_costs_more_than_the_square(resolution: int) -> None:
    for width, height in bucket_sizes(resolution):
        assert width * height <= resolution**2
        assert width % 16 == height % 16 == 0
        assert max(width, height) <= 2 * min(width, height)
    assert (resolution, resolution) in bucket_sizes(resolution)


@pytest.mark.parametrize(
    ("size", "bucket"),
    [
        ((3000, 3000), (512, 512)),
        ((4000, 3000), (592, 432)),  # 1.370 for 1.333; 576×448 is 1.286, further off by ratio
        ((1920, 1080), (672, 384)),  # 1.75 for 1.778
        ((1080, 1920), (384, 672)),
        ((9000, 1000), (704, 368)),  # 1.913, the most elongated; 720×352 is beyond 2:1
    ],
)
def test_the_nearest_shape_wins(size: tuple[int, int], bucket: tuple[int, int]) -> None:
    assert bucket_of(*size, 512) == bucket


def test_without_buckets_there_is_the_square() -> None:
    assert bucket_of(4000, 1000, 520, enabled=False) == (512, 512)


def test_counts_start_with_the_fullest() -> None:
    shapes = [(100, 100), (100, 170), (90, 100), (170, 100), (100, 100)]
    pictures = [Picture(Path("x"), "", w, h) for w, h in shapes]
    assert list(buckets(pictures, 64).items()) == [((64, 64), 3), ((48, 80), 1), ((80, 48), 1)]


def test_a_resolution_without_buckets_is_refused() -> None:
    with pytest.raises(ValueError, match="below 16"):
        bucket_sizes(8)


def test_clips_have_no_bucket(tmp_path: Path) -> None:
    found = [Picture(tmp_path / "a.mp4", "", 0, 0), Picture(tmp_path / "b.png", "", 64, 64)]
    assert buckets(found, 64) == {(64, 64): 1}
