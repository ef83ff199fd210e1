from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bracket.dataset import Description, musubi_toml, read_description, scan, sd_scripts_toml, untold
from bracket.dataset.reading.keys import MUSUBI_VIDEO, SD_DATASET, SD_SUBSET, SD_SUBSET_ONLY, Dialect
from bracket.dataset.writing.dialects import overruled
from bracket.domain import Source
from bracket.errors import DatasetError
from bracket.homes import Home


def dataset(folder: Path, text: str, *folders: str) -> Path:
    """A dataset file, and the folders (and empty files, where a name has an ending) it speaks of."""
    for name in folders:
        place = folder / name
        (place.parent if place.suffix else place).mkdir(parents=True, exist_ok=True)
        if place.suffix:
            place.write_text("{}")
    path = folder / "data.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_folder_is_one_source(tmp_path: Path) -> None:
    assert read_description(tmp_path) == Description((Source(tmp_path),), {})
    (tmp_path / "x.toml").mkdir()
    assert read_description(tmp_path / "x.toml").sources == (Source(tmp_path / "x.toml"),)


SD = """
[general]
resolution = [768, 512]
shuffle_caption = true
num_repeats = 2
caption_extension = "caption"
[[datasets]]
batch_size = 4
keep_tokens = 1
  [[datasets.subsets]]
  image_dir = "a b"
  num_repeats = 10
  keep_tokens = 2
  class_tokens = "zorp star"
  [[datasets.subsets]]
  image_dir = "reg"
  is_reg = true
  caption_extension = ".txt"
[[datasets]]
batch_size = 4
resolution = 1024
  [[datasets.subsets]]
  image_dir = "pairs"
  conditioning_data_dir = "conditions"
  token_warmup_step = 2
"""


def test_sd_scripts_values_are_inherited_downward(tmp_path: Path) -> None:
    described = read_description(dataset(tmp_path, SD, "a b", "reg", "pairs", "conditions"))
    assert described.options == {"shuffle_caption": True, "batch_size": 4}
    wide = {"resolution": [768, 512]}
    assert described.sources == (
        Source(
            tmp_path / "a b",
            repeats=10,
            caption_suffix=".caption",
            class_words="zorp star",
            options={**wide, "keep_tokens": 2, "dataset": 0},
        ),
        Source(tmp_path / "reg", repeats=2, regularisation=True, options={**wide, "keep_tokens": 1, "dataset": 0}),
        Source(
            tmp_path / "pairs",
            repeats=2,
            caption_suffix=".caption",
            controls=(tmp_path / "conditions",),
            options={"resolution": 1024, "token_warmup_step": 2.0, "dataset": 1},
        ),
    )


MUSUBI = """
[general]
resolution = 960
caption_extension = ".txt"
[[datasets]]
image_directory = "pictures"
control_directory = "controls"
cache_directory = "cache"
qwen_image_edit_no_resize_control = true
[[datasets]]
video_directory = "clips"
num_repeats = 3
target_frames = [1, 25, 45]
frame_extraction = "uniform"
source_fps = 30
[[datasets]]
video_jsonl_file = "list.jsonl"
resolution = [960, 544]
"""


def test_musubi_datasets_keep_pictures_clips_and_lists_apart(tmp_path: Path) -> None:
    described = read_description(dataset(tmp_path, MUSUBI, "pictures", "controls", "clips", "list.jsonl"))
    assert described.options == {}
    assert described.sources == (
        Source(
            tmp_path / "pictures",
            controls=(tmp_path / "controls",),
            options={"resolution": 960, "cache_directory": "cache", "no_resize_control": True},
        ),
        Source(
            tmp_path / "clips",
            "video",
            repeats=3,
            options={
                "resolution": 960,
                "target_frames": [1, 25, 45],
                "frame_extraction": "uniform",
                "source_fps": 30.0,
            },
        ),
        Source(
            tmp_path,
            "video",
            options={"resolution": [960, 544], "video_jsonl_file": str(tmp_path / "list.jsonl")},
        ),
    )
    assert isinstance(described.sources[1].options["source_fps"], float)


def test_a_relative_path_counts_from_the_file_then_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "both").mkdir(parents=True)
    (tmp_path / "here" / "only").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    text = '[[datasets]]\nimage_directory = "both"\n[[datasets]]\nimage_directory = "only"\n'
    described = read_description(dataset(tmp_path / "there", text, "both"))
    assert [s.folder for s in described.sources] == [tmp_path / "there" / "both", tmp_path / "here" / "only"]


def test_where_sd_scripts_names_no_caption_extension_the_folder_tells(tmp_path: Path) -> None:
    text = "[[datasets]]\n" + "".join(f'[[datasets.subsets]]\nimage_dir = "{n}"\n' for n in "ab")
    path = dataset(tmp_path, text, "a", "b")
    (tmp_path / "a" / "1.caption").write_text("x")
    assert [s.caption_suffix for s in read_description(path).sources] == [".caption", ".txt"]


IN_SUBSET = '[[datasets]]\n[[datasets.subsets]]\nimage_dir = "a"\n'
IN_DATASET = '[[datasets]]\nimage_directory = "a"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            IN_SUBSET + "num_repeat = 2",
            r"Unknown key 'num_repeat' in datasets\[0\]\.subsets\[0\].* mean num_repeats",
        ),
        (IN_SUBSET + "batch_size = 2", r"Unknown key 'batch_size' in datasets\[0\]\.subsets\[0\]"),
        (IN_DATASET + "flip_augs = true", r"Unknown key 'flip_augs' in datasets\[0\].*Known there: batch_size"),
        ('[genral]\n[[datasets]]\nimage_directory = "a"', r"Unknown key 'genral' in the top .* mean general\?"),
        ("[general]\ntarget_frames = [1]\n" + IN_DATASET, r"Unknown key 'target_frames' in general"),
        (IN_DATASET + 'batch_size = "2"', r"batch_size of datasets\[0\] is '2'.* It takes a whole number"),
        (IN_DATASET + "batch_size = true", r"batch_size of datasets\[0\] is True"),
        (IN_DATASET + "resolution = [1, 2, 3]", r"resolution of datasets\[0\] is \[1, 2, 3\].*\[width, height\]"),
        (IN_SUBSET + "caption_dropout_rate = nan", r"caption_dropout_rate of datasets\[0\]\.subsets\[0\] is nan"),
        (IN_SUBSET + "num_repeats = 0", r"num_repeats of datasets\[0\]\.subsets\[0\] is 0"),
        (IN_DATASET + 'image_jsonl_file = "b"', r"datasets\[0\] names image_directory and image_jsonl_file"),
        ('[[datasets]]\nimage_directory = "gone"', r"folder that image_directory of datasets\[0\] .* \(.*gone\)"),
        ('[[datasets]]\nimage_jsonl_file = "gone"', r"file that image_jsonl_file of datasets\[0\]"),
        ("[[datasets]]\n[[datasets.subsets]]\nis_reg = true", r"datasets\[0\]\.subsets\[0\] has no image_dir"),
        ('[[datasets]]\nvideo_directory = "a"\nframe_extraction = "tail"', r"frame_extraction .* 'tail'.*head, chunk"),
        ("[[datasets]]\nresolution = 512", "names no folder of pictures.*image_dir, musubi-tuner image_directory"),
        ("[general]\nresolution = 512", r"There is no \[\[datasets\]\]"),
        (IN_SUBSET + "[[datasets]]\nresolution = 512", r"There is no \[\[datasets\[1\]\.subsets\]\]"),
        (IN_SUBSET + '[[datasets]]\nimage_directory = "a"', r"Unknown key 'image_directory' in datasets\[1\]"),
        ("general = 1\n" + IN_DATASET, "'general' must be a table"),
        ("a = \n", "it is no TOML: .*line 1"),
        (IN_DATASET + "resolution = 0", r"resolution of datasets\[0\] is 0 .*from 64 to 16384"),
        (IN_DATASET + "resolution = -512", r"resolution of datasets\[0\] is -512"),
        (IN_DATASET + "resolution = [512, 0]", r"resolution of datasets\[0\] is \[512, 0\]"),
        (IN_DATASET + "resolution = 1000000", r"resolution of datasets\[0\] is 1000000"),
        (IN_DATASET + f"resolution = 1{'0' * 400}", r"resolution of datasets\[0\] is 10+…"),
        (IN_DATASET + "batch_size = 0", r"batch_size of datasets\[0\] is 0"),
        (IN_DATASET + "num_repeats = 100000000000", r"num_repeats of datasets\[0\]"),
        (IN_SUBSET + "caption_dropout_rate = 1.5", r"caption_dropout_rate .* from 0 to 1"),
        ("[general]\nresolution = -1\n" + IN_DATASET, r"resolution of general is -1"),
        ('[[datasets]]\nvideo_directory = "a"\ntarget_frames = [0]', r"target_frames of datasets\[0\] is \[0\]"),
        ('[[datasets]]\nimage_directory = "C:\\Users\\me"', r"it is no TOML.*single quotes, 'C:.pictures', or with /"),
        ('[[datasets]]\nimage_directory = "C:\\new\\tea"', r"which no path is.*single quotes"),
        ("[[datasets]]\nimage_directory = 'C:\\Users\\me'", r"This is a path of Windows"),
        ("a = " + "[" * 5000, "nested"),
        (".".join("a" * 5000) + " = 1", "longer"),
    ],
)
def test_what_a_file_may_not_say_is_told_in_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = dataset(tmp_path, text, "a")
    with pytest.raises(DatasetError, match=message):
        read_description(path)


@pytest.mark.parametrize("name", ["x" * 300, "~nobody/at all", "nul\\u0000", "", "a/b.toml"])
def test_a_folder_that_can_not_be_is_told_like_a_missing_one(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"folder that image_directory of datasets\[0\] in data\.toml names"):
        read_description(dataset(tmp_path, f'[[datasets]]\nimage_directory = "{name or "file"}"\n'))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset file does not exist \(.*x\.toml\)"):
        read_description(tmp_path / "x.toml")


NEW_VALIDATOR = """
class ConfigSanitizer:
    SUBSET_ASCENDABLE_SCHEMA = {"num_repeats": int, Required("brand_new"): Any(float, int)}
    DATASET_ASCENDABLE_SCHEMA = {"batch_size": int, "per_bucket": int}
    ARGPARSE_SPECIFIC_SCHEMA = {"debug_dataset": bool}
"""


@pytest.mark.parametrize(
    ("trainer", "validator", "text"),
    [
        ("sd_scripts", "library/config_util.py",
         '[[datasets]]\nper_bucket = 3\n[[datasets.subsets]]\nimage_dir = "a"\nbrand_new = 0.5\n'),
        ("musubi", "src/musubi_tuner/dataset/config_utils.py",
         '[general]\nper_bucket = 3\n[[datasets]]\nimage_directory = "a"\nbrand_new = 0.5\n'),
    ],
)  # fmt: skip
def test_keys_that_only_the_installed_trainer_knows_are_passed_on_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainer: Dialect, validator: str, text: str
) -> None:
    path = dataset(tmp_path, text, "a")
    monkeypatch.setattr("bracket.dataset.reading.description.known_home", lambda name: None)
    with pytest.raises(DatasetError, match=r"Unknown key '(brand_new|per_bucket)'"):
        read_description(path)
    (tmp_path / "home" / validator).parent.mkdir(parents=True)
    schema = NEW_VALIDATOR if trainer == "sd_scripts" else NEW_VALIDATOR.replace("SUBSET", "IMAGE_DATASET")
    (tmp_path / "home" / validator).write_text(schema)
    home = Home(trainer, tmp_path / "home", Path())
    monkeypatch.setattr(
        "bracket.dataset.reading.description.known_home", lambda name: home if name == trainer else None
    )
    found = read_description(path)
    assert "knows brand_new, per_bucket, which bracket doesn't" in found.said[0].message
    if trainer == "sd_scripts":
        (written,) = tomllib.loads(sd_scripts_toml(found.sources, found.options))["datasets"]
        assert (written["per_bucket"], written["subsets"][0]["brand_new"]) == (3, 0.5)
    else:
        (written,) = tomllib.loads(musubi_toml(found.sources, found.options, tmp_path))["datasets"]
        assert (written["per_bucket"], written["brand_new"]) == (3, 0.5)
    lost = [p.message for p in untold("ai_toolkit", found.sources, found.options)]
    assert len(lost) == 2 and "no setting like" in lost[0]
    assert untold(trainer, found.sources, found.options) == []
    with pytest.raises(DatasetError, match="Unknown key 'debug_dataset'"):
        read_description(dataset(tmp_path, text + "debug_dataset = true\n", "a"))


def test_what_the_search_decides_is_told() -> None:
    sources = (Source(Path("a"), options={"batch_size": 4}),)
    (found,) = overruled(sources, {"resolution": 512, "flip_aug": True}, {"batch_size", "resolution"})
    assert "batch_size = 4, resolution = 512 is not used" in found.message
    assert overruled(sources, {}, {"flip_aug"}) == []


VALUES = st.sampled_from(
    [
        "0",
        "-1",
        "1e999",
        "nan",
        "-inf",
        "true",
        "''",
        "'a'",
        "'\\x'",
        "[]",
        "[0, 0]",
        "[[1]]",
        "{}",
        "{a = 1}",
        "1979-05-27",
        "07:32:00",
        "99999999999999999999",
        "'../a'",
        "'~'",
        "512",
        "0.5",
        "'C:\\x'",
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    head=st.sampled_from([IN_SUBSET, IN_DATASET, "[general]\n", "[[datasets]]\nvideo_directory = 'a'\n", ""]),
    lines=st.dictionaries(
        st.sampled_from(sorted({*SD_DATASET, *SD_SUBSET, *SD_SUBSET_ONLY, *MUSUBI_VIDEO, "x"})), VALUES
    ),
    tail=st.text(max_size=30),
)
def test_any_dataset_file_is_read_or_refused_in_one_sentence(
    tmp_path: Path, head: str, lines: dict[str, str], tail: str
) -> None:
    text = head + "".join(f"{key} = {value}\n" for key, value in lines.items()) + f"# {tail}"
    (tmp_path / "a").mkdir(exist_ok=True)
    path = tmp_path / "data.toml"
    path.write_bytes(text.encode("utf-8", "replace"))
    for trainer in ("", "sd_scripts"):
        try:
            scan(path, trainer=trainer)
        except DatasetError as error:
            assert error.remedy
