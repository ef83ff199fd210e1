from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bracket.dataset import (
    Description,
    ai_toolkit_datasets,
    musubi_toml,
    read_description,
    sd_scripts_toml,
    untold,
    without,
)
from bracket.dataset.reading.keys import DIALECTS, Dialect
from bracket.domain import Source
from bracket.errors import DatasetError

ODD = "größe \"x\" 'y' \\z [1] 日本"
"""A folder's name with everything that must be escaped somewhere."""

SD_FILES = {
    "one subset": '[[datasets]]\nresolution = 512\n[[datasets.subsets]]\nimage_dir = "a"\nnum_repeats = 3\n',
    "every value at its deepest": """
[[datasets]]
batch_size = 2
bucket_no_upscale = true
bucket_reso_steps = 32
enable_bucket = true
max_bucket_reso = 2048
min_bucket_reso = 320
network_multiplier = 0.5
resolution = [768, 512]
validation_seed = 7
validation_split = 0.1
[[datasets.subsets]]
image_dir = "a"
alpha_mask = true
cache_info = true
caption_dropout_every_n_epochs = 2
caption_dropout_rate = 0.1
caption_extension = ".caption"
caption_prefix = "p, "
caption_separator = ";"
caption_suffix = ", s"
caption_tag_dropout_rate = 1
class_tokens = "a \\"star\\""
color_aug = true
enable_wildcard = true
face_crop_aug_range = [1, 3.5]
flip_aug = true
is_reg = false
keep_tokens = 3
keep_tokens_separator = "|||"
num_repeats = 4
random_crop = true
resize_interpolation = "lanczos"
secondary_separator = ";;;"
shuffle_caption = true
token_warmup_min = 2
token_warmup_step = 0.5
[datasets.subsets.custom_attributes]
"a b" = "c"
n = 2
""",
    "everything shared": """
[general]
resolution = 1024
enable_bucket = true
flip_aug = true
caption_extension = ".txt"
num_repeats = 5
[general.custom_attributes]
k = "v"
[[datasets]]
[[datasets.subsets]]
image_dir = "a"
[[datasets.subsets]]
image_dir = "b"
alpha_mask = true
""",
    "equal datasets stay apart, with their own regularisation": """
[[datasets]]
resolution = 512
[[datasets.subsets]]
image_dir = "a"
[[datasets.subsets]]
image_dir = "reg"
is_reg = true
class_tokens = "star"
[[datasets]]
resolution = 512
[[datasets.subsets]]
image_dir = "b"
""",
    "pairs, and captions in a metadata file": """
[general]
resolution = 512
[[datasets]]
[[datasets.subsets]]
image_dir = "a"
conditioning_data_dir = "control"
random_crop = false
[[datasets]]
[[datasets.subsets]]
image_dir = "b"
metadata_file = "m.json"
keep_tokens = 1
""",
}
MUSUBI_FILES = {
    "one folder": '[[datasets]]\nimage_directory = "a"\n',
    "pictures with everything": """
[general]
resolution = [960, 544]
enable_bucket = true
[[datasets]]
image_directory = "a"
control_directory = "control"
batch_size = 2
bucket_no_upscale = true
caption_extension = ".cap"
control_resolution = [512, 256]
fp_1f_clean_indices = [0, 9]
fp_1f_no_post = true
fp_1f_target_index = 5
fp_latent_window_size = 9
multiple_target = true
no_resize_control = true
num_repeats = 2
""",
    "clips with everything, twice": """
[general]
resolution = 512
[[datasets]]
video_directory = "a"
control_directory = "control"
frame_extraction = "slide"
frame_sample = 3
frame_stride = 10
max_frames = 65
source_fps = 29.97
target_frames = [1, 25]
[[datasets]]
video_directory = "a"
target_frames = [1, 25]
resolution = [256, 128]
""",
    "lists": """
[[datasets]]
image_jsonl_file = "i.jsonl"
[[datasets]]
video_jsonl_file = "v.jsonl"
target_frames = [9]
""",
}


def described(tmp_path: Path, text: str) -> Description:
    for name in ("a", "b", "reg", "control"):
        (tmp_path / name).mkdir(exist_ok=True)
    for name in ("m.json", "i.jsonl", "v.jsonl"):
        (tmp_path / name).write_text("")
    (tmp_path / "data.toml").write_text(text, encoding="utf-8")
    return read_description(tmp_path / "data.toml")


def again(tmp_path: Path, text: str) -> Description:
    (tmp_path / "again.toml").write_text(text, encoding="utf-8")
    return read_description(tmp_path / "again.toml")


@pytest.mark.parametrize("name", SD_FILES)
def test_an_sd_scripts_file_survives_reading_and_writing(tmp_path: Path, name: str) -> None:
    seen = described(tmp_path, SD_FILES[name])
    assert again(tmp_path, sd_scripts_toml(seen.sources, seen.options)) == seen
    assert untold("sd_scripts", seen.sources, seen.options) == []


@pytest.mark.parametrize("name", MUSUBI_FILES)
def test_a_musubi_file_survives_reading_and_writing(tmp_path: Path, name: str) -> None:
    seen = described(tmp_path, MUSUBI_FILES[name])
    back = again(tmp_path, musubi_toml(seen.sources, seen.options, tmp_path / "cache"))
    assert without(back.sources, ["cache_directory"]) == seen.sources and back.options == seen.options
    assert untold("musubi", seen.sources, seen.options) == []


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("text", [*SD_FILES.values(), *MUSUBI_FILES.values()])
def test_what_is_not_written_for_another_trainer_is_told(tmp_path: Path, text: str, dialect: Dialect) -> None:
    """Every option that is on appears in what is written or in a finding."""
    seen = described(tmp_path, text)
    lists = ["image_jsonl_file", "video_jsonl_file", "metadata_file"]
    sources = without([s for s in seen.sources if dialect != "sd_scripts" or s.media == "image"], [*lists, "dataset"])
    options = dict(seen.options)
    if dialect == "ai_toolkit" and any(s.media == "video" for s in sources):
        options["target_frames"] = [25]
        sources = without(sources, ["target_frames"])
    told = " ".join(map(str, untold(dialect, sources, options)))
    written: object = ai_toolkit_datasets(sources, options)
    if dialect != "ai_toolkit":
        toml = musubi_toml(sources, options, tmp_path) if dialect == "musubi" else sd_scripts_toml(sources, options)
        written = tomllib.loads(toml)
    renamed = {"target_frames": "num_frames", "flip_aug": "flip_x", "shuffle_caption": "shuffle_tokens"}
    renamed |= {"enable_bucket": "buckets", "caption_tag_dropout_rate": "token_dropout_rate"}
    technical = ("cache_info", "validation_split", "validation_seed", "cache_directory")
    defaults = {"frame_extraction": "head", "batch_size": 1}
    for key, value in [*options.items(), *((k, v) for s in sources for k, v in s.options.items())]:
        there = f"'{key}'" in str(written) or f"'{renamed.get(key, key)}'" in str(written)
        batch = key == "batch_size" and dialect == "ai_toolkit"  # stands in AI-Toolkit's train block
        assert there or f" {key} " in told or not value or key in technical or batch or defaults.get(key) == value, key


def test_validation_sources_are_measured_and_never_trained_on(tmp_path: Path) -> None:
    train = Source(tmp_path / "t", repeats=5, options={"flip_aug": True, "validation_split": 0.2})
    held = Source(tmp_path / "v", repeats=5, controls=(tmp_path / "c",), options={"flip_aug": True, "resolution": 256})
    reg = Source(tmp_path / "r", regularisation=True)
    options = {"resolution": 512, "caption_dropout_rate": 0.1, "validation_split": 0.3, "validation_seed": 1}
    options |= {"face_crop_aug_range": [1.0, 2.0], "alpha_mask": True, "shuffle_caption": False}
    written = tomllib.loads(sd_scripts_toml([train], options, validation=[held, reg]))
    assert written == {
        "general": {"resolution": 512, "caption_dropout_rate": 0.1, "shuffle_caption": False},
        "datasets": [
            {
                "subsets": [
                    {
                        "image_dir": str(tmp_path / "t"),
                        "num_repeats": 5,
                        "caption_extension": ".txt",
                        "flip_aug": True,
                        "alpha_mask": True,
                        "face_crop_aug_range": [1.0, 2.0],
                    }
                ]
            },
            {
                "resolution": 256,
                "validation_split": 1.0,
                "subsets": [
                    {
                        "image_dir": str(tmp_path / "v"),
                        "num_repeats": 1,
                        "caption_extension": ".txt",
                        "flip_aug": False,
                        "caption_dropout_rate": 0.0,
                        "alpha_mask": True,
                    }
                ],
            },
        ],
    }
    assert isinstance(written["datasets"][1]["validation_split"], float)


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        ({"resolution": 1280, "enable_bucket": True}, {"max_bucket_reso": 1280}),
        ({"resolution": [128, 1024], "enable_bucket": True}, {"min_bucket_reso": 128}),
        (
            {"resolution": 512, "enable_bucket": True, "min_bucket_reso": 640, "max_bucket_reso": 2048},
            {"min_bucket_reso": 512},
        ),
        ({"resolution": 1024, "enable_bucket": True}, {}),
        ({"resolution": 2048}, {}),
    ],
)
def test_bucket_limits_let_the_resolution_in(
    tmp_path: Path, options: dict[str, object], limits: dict[str, object]
) -> None:
    """sd-scripts stops at min_bucket_reso (256) > resolution or max_bucket_reso (1024) < resolution."""
    written = tomllib.loads(sd_scripts_toml([Source(tmp_path)], options, validation=[Source(tmp_path / "v")]))
    train, validation = ({k: v for k, v in d.items() if k.endswith("bucket_reso")} for d in written["datasets"])
    assert train == validation == limits


def test_sources_of_equal_options_share_an_sd_scripts_dataset_but_not_with_pairs(tmp_path: Path) -> None:
    plain = [Source(tmp_path / "a"), Source(tmp_path / "b"), Source(tmp_path / "c", options={"resolution": 256})]
    pair = Source(tmp_path / "d", controls=(tmp_path / "e",))
    written = tomllib.loads(sd_scripts_toml([*plain, pair], {"resolution": 512}))
    names = [[Path(s["image_dir"]).name for s in d["subsets"]] for d in written["datasets"]]
    assert names == [["a", "b"], ["c"], ["d"]]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_paths_with_every_sign_are_written_as_they_are(tmp_path: Path, dialect: Dialect) -> None:
    source = Source(tmp_path / ODD)
    if dialect == "sd_scripts":
        written: dict[str, Any] = tomllib.loads(sd_scripts_toml([source], {}))["datasets"][0]["subsets"][0]
        assert written["image_dir"] == str(source.folder)
    elif dialect == "musubi":
        written = tomllib.loads(musubi_toml([source], {}, tmp_path / ODD))["datasets"][0]
        assert written["image_directory"] == str(source.folder)
        assert Path(written["cache_directory"]).parent == tmp_path / ODD
    else:
        assert ai_toolkit_datasets([source], {})[0]["folder_path"] == str(source.folder)


def test_a_name_that_is_no_unicode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="can't be written for the trainer"):
        sd_scripts_toml([Source(tmp_path / "\udcff")], {})


def caches(sources: list[Source], options: dict[str, object], cache: Path) -> list[str]:
    return [d["cache_directory"] for d in tomllib.loads(musubi_toml(sources, options, cache))["datasets"]]


def test_a_cache_folder_goes_by_all_that_makes_other_latents(tmp_path: Path) -> None:
    source = Source(tmp_path / "a", options={"cache_directory": "/mine"})
    (first,) = caches([source], {"resolution": 512, "batch_size": 1}, tmp_path)
    assert Path(first).parent == tmp_path and Path(first).name.startswith("a-")
    assert caches([replace(source, repeats=9)], {"resolution": 512, "batch_size": 4}, tmp_path) == [first]
    for other in ({"resolution": 768}, {"resolution": 512, "enable_bucket": True}, {"resolution": [512, 256]}):
        assert caches([source], other, tmp_path) != [first]
    assert len(set(caches([source, source], {"resolution": 512}, tmp_path))) == 2  # musubi-tuner wants them unique


def test_ai_toolkit_gets_its_own_words(tmp_path: Path) -> None:
    picture = Source(
        tmp_path / "a",
        repeats=2,
        regularisation=True,
        class_words="star",
        controls=(tmp_path / "c", tmp_path / "d"),
        options={"batch_size": 2, "enable_bucket": False},
    )
    options = {"resolution": [960, 540], "batch_size": 8, "flip_aug": True, "keep_tokens": 1}
    options |= {"shuffle_caption": True, "cache_latents_to_disk": True, "caption_separator": ";"}
    assert ai_toolkit_datasets([picture], options) == [
        {
            "folder_path": str(tmp_path / "a"),
            "caption_ext": ".txt",
            "num_repeats": 2,
            "default_caption": "star",
            "is_reg": True,
            "control_path_1": str(tmp_path / "c"),
            "control_path_2": str(tmp_path / "d"),
            "resolution": 720,  # sqrt(960 × 540)
            "flip_x": True,
            "keep_tokens": 1,
            "shuffle_tokens": True,
            "cache_latents_to_disk": True,
            "batch_size": 2,
            "buckets": False,
        }
    ]
    assert ["caption_separator" in str(p) for p in untold("ai_toolkit", [picture], options)] == [True, False]


def test_ai_toolkit_gets_a_dataset_for_each_length_of_clips(tmp_path: Path) -> None:
    clips = Source(tmp_path / "a", "video", controls=(tmp_path / "c",))
    made = ai_toolkit_datasets([clips, Source(tmp_path / "b")], {"target_frames": [41, 1, 81], "resolution": 512})
    assert [(d["folder_path"], d.get("num_frames")) for d in made] == [
        (str(tmp_path / "a"), 41),
        (str(tmp_path / "a"), 81),
        (str(tmp_path / "b"), None),
    ]
    assert made[0]["control_path"] == str(tmp_path / "c")
    assert "single frames" in str(untold("ai_toolkit", [clips], {"target_frames": [1, 41]})[0])
    with pytest.raises(DatasetError, match="number of frames"):
        ai_toolkit_datasets([clips], {"target_frames": [1]})
    assert [p.level for p in untold("ai_toolkit", [clips], {})] == ["error"]


def test_what_a_trainer_can_not_do_is_an_error_or_told(tmp_path: Path) -> None:
    clips = Source(tmp_path / "a", "video")
    with pytest.raises(DatasetError, match="can't train on clips"):
        sd_scripts_toml([clips], {})
    assert [p.level for p in untold("sd_scripts", [clips], {})] == ["error"]
    reg = Source(tmp_path / "b", regularisation=True)
    assert "regularisation" in str(untold("musubi", [reg], {})[0])
    many = Source(tmp_path / "c", controls=tuple(tmp_path / n for n in "defg"))
    assert [len(untold(d, [many], {})) for d in DIALECTS] == [1, 1, 1]
    assert untold("musubi", [Source(tmp_path / "b")], {"flip_aug": False, "caption_separator": ","}) == []
    listed = Source(tmp_path, options={"image_jsonl_file": "x"})
    with pytest.raises(DatasetError, match="Link its pictures first"):
        ai_toolkit_datasets([listed], {})
    with pytest.raises(DatasetError, match="image_jsonl_file can't be written for sd-scripts"):
        sd_scripts_toml([listed], {})
    with pytest.raises(DatasetError, match="metadata_file can't be written for musubi-tuner"):
        musubi_toml([Source(tmp_path, options={"metadata_file": "x"})], {}, tmp_path)
