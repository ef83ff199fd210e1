from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bracket.dataset.bucketing import bucket_of, bucket_sizes
from bracket.errors import DatasetError
from bracket.training.config.schema import DataSection
from bracket.training.data.pictures import Order, find_items, read_pixels


def picture(path: Path, size: tuple[int, int] = (64, 64), mode: str = "RGB", **options: object) -> Path:
    Image.new(mode, size).save(path, **options)
    path.with_suffix(".txt").write_text("a caption\n")
    return path


class TestBuckets:
    def test_sides_are_multiples_of_16_and_no_larger_than_asked(self) -> None:
        for width, height in bucket_sizes(512):
            assert width % 16 == height % 16 == 0
            assert width * height <= 512 * 512
            assert max(width, height) <= 2 * min(width, height)

    @pytest.mark.parametrize(
        ("size", "bucket"),
        [
            ((1000, 1000), (512, 512)),
            # Ratio 1.5: 624 x 416 has 259,584 of 262,144 pixels and exactly this ratio.
            ((1500, 1000), (624, 416)),
            ((1000, 1500), (416, 624)),
            ((9000, 1000), (704, 368)),
        ],
    )
    def test_the_nearest_shape_wins(self, size: tuple[int, int], bucket: tuple[int, int]) -> None:
        assert bucket_of(*size, 512) == bucket

    def test_without_buckets_all_are_square(self) -> None:
        assert bucket_of(1500, 1000, 520, enabled=False) == (512, 512)


class TestReading:
    def test_pixels_span_minus_one_to_one_in_channel_row_column_order(self, tmp_path: Path) -> None:
        pixels = np.zeros((16, 32, 3), np.uint8)
        pixels[:, 16:, 0] = 255
        Image.fromarray(pixels).save(tmp_path / "p.png")
        got = read_pixels(tmp_path / "p.png", (32, 16))
        assert got.shape == (3, 16, 32) and got.dtype == np.float32
        assert got[0, 0, 0] == -1 and got[0, 0, 31] == 1 and got[1].max() == -1

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_rotation_is_applied_to_size_and_pixels(self, tmp_path: Path, orientation: int) -> None:
        # What a viewer shows, and how each orientation stores it (TIFF 6.0, tag 274: where row 0 and column 0 lie).
        shown = np.zeros((64, 32, 3), np.uint8)
        shown[:32, :16] = 255
        stored = {
            1: shown, 2: shown[:, ::-1], 3: shown[::-1, ::-1], 4: shown[::-1],
            5: shown.swapaxes(0, 1), 6: np.rot90(shown), 7: shown[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(shown, -1),
        }[orientation]  # fmt: skip
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / "p.png"
        Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
        path.with_suffix(".txt").write_text("c")
        ((item,), _) = find_items(DataSection(folder=tmp_path, resolution=48))
        assert item.bucket == (32, 64)
        got = read_pixels(path, item.bucket)[0]
        assert got[:28, :12].min() == 1 and got[:28, 20:].max() == -1 and got[36:].max() == -1

    @pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1", "CMYK"])
    def test_every_mode_becomes_rgb(self, tmp_path: Path, mode: str) -> None:
        path = tmp_path / ("p.tif" if mode == "CMYK" else "p.png")
        Image.new(mode, (20, 20)).save(path)
        assert read_pixels(path, (16, 16)).shape == (3, 16, 16)

    def test_16_bits_of_grey_are_scaled_and_not_cut_off(self, tmp_path: Path) -> None:
        Image.fromarray(np.full((20, 20), 257 * 51, np.uint16)).save(tmp_path / "p.png")
        assert read_pixels(tmp_path / "p.png", (16, 16)) == pytest.approx(51 / 127.5 - 1)

    def test_what_is_transparent_becomes_white(self, tmp_path: Path) -> None:
        Image.new("RGBA", (16, 16), (255, 0, 0, 0)).save(tmp_path / "p.png")
        assert read_pixels(tmp_path / "p.png", (16, 16)).min() == 1

    def test_it_covers_and_crops_at_the_centre(self, tmp_path: Path) -> None:
        pixels = np.zeros((32, 96, 3), np.uint8)
        pixels[:, 32:64] = 255
        Image.fromarray(pixels).save(tmp_path / "p.png")
        assert read_pixels(tmp_path / "p.png", (32, 32)).min() == 1


class TestFinding:
    def test_captions_are_taken_verbatim(self, tmp_path: Path) -> None:
        caption = "  p3rs0n, 512x512 @you <b>画家</b> http://x.y  "
        picture(tmp_path / "a.png").with_suffix(".txt").write_text("﻿" + caption + "\n", encoding="utf-8")
        ((item,), _) = find_items(DataSection(folder=tmp_path, resolution=64))
        assert item.caption == caption

    @pytest.mark.parametrize("name", ["broken.png", "empty.png"])
    def test_an_unreadable_picture_is_named(self, tmp_path: Path, name: str) -> None:
        picture(tmp_path / "a.png")
        path = picture(tmp_path / name)
        path.write_bytes(b"" if name.startswith("empty") else b"not a picture")
        with pytest.raises(DatasetError, match="can't be read") as caught:
            find_items(DataSection(folder=tmp_path))
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)

    def test_a_picture_that_breaks_off_is_named_when_it_is_decoded(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jpg"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:900])
        with pytest.raises(DatasetError, match="doesn't decode") as caught:
            read_pixels(path, (16, 16))
        assert str(path) in str(caught.value)

    def test_a_missing_caption_folder_or_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="holds no pictures"):
            find_items(DataSection(folder=tmp_path))
        with pytest.raises(DatasetError, match="doesn't exist"):
            find_items(DataSection(folder=tmp_path / "none"))
        picture(tmp_path / "a.png").with_suffix(".txt").unlink()
        with pytest.raises(DatasetError, match="no caption file"):
            find_items(DataSection(folder=tmp_path))
        missing = DataSection.model_validate({"train": [{"path": str(tmp_path / "b.png"), "caption": ""}]})
        with pytest.raises(DatasetError, match=r"b\.png"):
            find_items(missing)


class TestOrder:
    def test_every_picture_is_seen_equally_often_in_whole_batches_of_one_bucket(self) -> None:
        sizes = [5, 1, 6]
        seen: Counter[tuple[int, int]] = Counter()
        # 12 pictures in batches of 4: after 4 epochs of 3 batches all buckets are at a whole number of rounds.
        for bucket, pictures in islice(Order(sizes, 4, seed=1).batches(), 12):
            assert len(pictures) == 4
            seen.update((bucket, n) for n in pictures)
        assert set(seen.values()) == {4}
        assert len(seen) == 12

    def test_it_can_be_entered_anywhere(self) -> None:
        order = list(islice(Order([5, 3], 2, seed=4).batches(), 40))
        for start in (1, 4, 17, 39):
            assert next(iter(Order([5, 3], 2, seed=4).batches(start))) == order[start]
            assert list(islice(Order([5, 3], 2, seed=4).batches(start), 40 - start)) == order[start:]

    def test_epochs_and_seeds_differ(self) -> None:
        def epoch(seed: int, number: int) -> list[tuple[int, list[int]]]:
            return list(islice(Order([8], 2, seed).batches(4 * number), 4))

        assert epoch(0, 0) == epoch(0, 0)
        assert epoch(0, 0) != epoch(0, 1)
        assert epoch(0, 0) != epoch(1, 0)

    def test_fewer_pictures_than_a_batch_still_fill_it(self) -> None:
        bucket, pictures = next(iter(Order([3], 8, seed=0).batches()))
        assert bucket == 0
        assert len(pictures) == 8 and set(pictures) == {0, 1, 2}
