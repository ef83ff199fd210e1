"""The Judge tab without a browser: its fields, the rubric as a text, what it says of a session, and the test of two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bracket.domain import DatasetSplit, Judgement, Preference, Sample
from bracket.environment import presets_folder
from bracket.errors import PresetError, SettingsError
from bracket.files import write_json
from bracket.judges.asking import Answer, Question
from bracket.judges.vlm.judge import Asked
from bracket.judges.vlm.rubric import load_rubric
from bracket.presets import DEMO_PRESET, find_preset
from bracket.session import view
from bracket.session.asked.settings import DatasetSettings, JudgeSettings, from_preset
from bracket.session.job import resolve
from bracket.session.running import launch
from bracket.ui.form import form
from bracket.ui.form import judge as judge_form
from bracket.ui.judge import events as judge_events
from bracket.ui.judge import tab as judge
from bracket.ui.judge import tryout
from bracket.ui.page import Page
from bracket.ui.views import booth as vote


def test_every_judge_setting_survives_the_form() -> None:
    first = JudgeSettings(
        kind="openai_api",
        model="qwen3-vl",
        weights={"adherence": 0.5, "likeness": 0.0},
        batch_size=4,
        share=2.0,
        rubric="/r/mine.yaml",
        url="http://localhost:1234/v1",
        key_variable="MY_KEY",
        repeats=3,
        references=1,
        quantize="4bit",
        device="cpu",
        timeout=30.5,
        concurrency=2,
    )
    other = first.model_copy(update={"kind": "qwen_vl", "model": "a, b: {c}", "url": "", "share": 0.25})
    settings = from_preset(
        find_preset(DEMO_PRESET),
        DatasetSettings(folder="/pics", plain_prompts=1),
        judge=first,
        other_judges=(other, JudgeSettings(model="/clip")),
        pairwise=2,
    )
    again = form.to_settings(form.to_values(settings))
    assert again.judge == first
    assert again.other_judges == (other, JudgeSettings(model="/clip"))
    assert again.fingerprint == settings.fingerprint
    assert {*judge_form.FIELDS.values()} == {*JudgeSettings.model_fields}, "a new setting needs a field"


@pytest.fixture
def values() -> dict[str, Any]:
    return form.default_values(find_preset(DEMO_PRESET), "/pics")


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("judge_repeats", "", "Times a question is asked: a whole number is needed"),
        ("judge_repeats", 2.5, "Times a question is asked: 2.5 is not a whole number"),
        ("judge_share", "much", "Share: 'much' is not a number"),
        ("judge_weights", "adherence", "Axis weights: 'adherence' can't be read"),
        ("judge_weights", "[", "Axis weights: '[' can't be read"),
        ("other_judges", [["clap", "", "", ""]], "other judge 1: 'clap' is no kind of judge"),
        ("other_judges", [["clip", "/m", "x", ""]], "other judge 1, share: 'x' is not a number"),
        ("other_judges", [["", "", "", ""], ["clip", "/m", "1", "ulr: x"]], "no setting called 'ulr'"),
        ("judge_repeats", 0, "judge.repeats"),
    ],
)
def test_a_wrong_field_is_named(values: dict[str, Any], name: str, given: object, said: str) -> None:
    with pytest.raises(SettingsError) as told:
        form.to_settings({**values, name: given})
    assert said in str(told.value)


def test_empty_rows_are_no_judges(values: dict[str, Any]) -> None:
    values["other_judges"] = [["", "", "", ""], ["reference", "/m", "", "batch_size: 8"]]
    assert form.to_settings(values).other_judges == (JudgeSettings(kind="reference", model="/m", batch_size=8),)


def test_an_edited_rubric_is_checked_where_it_stands() -> None:
    style = judge_form.rubric_text("style")
    assert judge_form.check_rubric(style, "style") == load_rubric("style"), "what it extends is found"
    assert judge_form.rubric_names()[0] == "default"
    with pytest.raises(PresetError, match="Did you mean 'title'") as told:
        judge_form.check_rubric("titel: x\n" + judge_form.rubric_text(""))
    assert told.value.path is None, "the text has no place on the disk"


def test_a_rubric_goes_to_a_file_of_ones_own(tmp_path: Path) -> None:
    text = judge_form.rubric_text("style").replace("weight: 0.4", "weight: 0.9")
    file = judge_form.save_rubric(text, "style", "sub/mine.yaml", tmp_path)
    assert file == tmp_path / "sub" / "mine.yaml"
    assert load_rubric(file).weights["likeness"] == 0.9
    assert load_rubric("style").weights["likeness"] == 0.4
    shipped = presets_folder() / "rubrics" / "default.yaml"
    before = shipped.read_bytes()
    for target, said in (
        (str(shipped), "ships with bracket"),
        (str(tmp_path / ".." / tmp_path.name / "x.txt"), "ends in .yaml"),
        ("", "needs a file"),
    ):
        with pytest.raises(PresetError, match=said):
            judge_form.save_rubric(text, "style", target, tmp_path)
    with pytest.raises(PresetError, match="doesn't fit"):
        judge_form.save_rubric("axes: {}", "", "bad.yaml", tmp_path)
    assert not (tmp_path / "bad.yaml").exists()
    (tmp_path / "notes.yaml").write_text("mine")
    with pytest.raises(PresetError, match="a file of this name already"):
        judge_form.save_rubric(text, "style", "notes.yaml", tmp_path)
    assert (tmp_path / "notes.yaml").read_text() == "mine"
    again = judge_form.rubric_text(str(file))
    assert judge_form.save_rubric(again, str(file), str(file), tmp_path) == file, "one's own may be saved again"
    notes = str(tmp_path / "notes.yaml")
    with pytest.raises(PresetError, match="no rubric"):
        judge_form.save_rubric(again, notes, notes, tmp_path)
    assert (tmp_path / "notes.yaml").read_text() == "mine"
    assert shipped.read_bytes() == before


def test_a_rubric_that_judges_a_session_stays(tmp_path: Path) -> None:
    text = judge_form.rubric_text("")
    file = judge_form.save_rubric(text, "", "mine.yaml", tmp_path)
    settings = launch.demo_settings(runs=tmp_path)
    asked = settings.judge.model_copy(update={"rubric": str(file)})
    launch.create(settings.model_copy(update={"judge": asked}), tmp_path / "owls")
    with pytest.raises(SettingsError, match="session 'owls' is judged by this file"):
        judge_form.save_rubric(text, "", "mine.yaml", tmp_path)


def test_what_a_session_knows_of_its_judge_is_said(runs: Path, tmp_path: Path) -> None:
    assert "No session is open" in judge.told_html(None)
    done = view.read(runs / "zorp")
    assert "check it" in judge.told_html(done)
    shown = view.SessionView("s", tmp_path, "done", "done", 1, 1, None, "", ())
    agreed = {"votes": 22, "rate": 0.75, "low": 0.5, "high": 0.9}
    told = {"remarks": ["3 refusals <b>"], "agreement": agreed, "gate": {"reason": "better"}, "flip_rate": 0.125}
    write_json(tmp_path / "report" / "judge.json", told)
    html = judge.told_html(shown)
    assert "It agrees with your eyes in 75 % of 22 votes (95 % interval 50 % to 90 %)" in html
    assert "in 12 % of the pairs" in html and "Better" in html and "3 refusals &lt;b&gt;" in html
    write_json(tmp_path / "report" / "judge.json", {"agreement": None, "flip_rate": None})
    assert "not checked by your eyes yet" in judge.told_html(shown)
    assert "live" in judge.told_html(shown, "<p>live</p>")


def looked(now: tryout.Tryout) -> tryout.Tryout:
    now._thread.join(60)
    assert not now.running
    return now


@pytest.mark.slow
def test_two_pictures_are_judged_in_a_thread(runs: Path) -> None:
    folder = runs / "zorp"
    pair = vote.pairs_of(view.read(folder))[0]
    settings = launch.demo_settings(runs=runs)
    split = resolve(settings).dataset
    now = looked(tryout.Tryout(settings.judge, "", split, pair))
    assert now.error == "" and now.look is not None and now.look.scores is not None
    assert now.look.scores[0].score > now.look.scores[1].score
    assert now.look.preferred is not None and now.look.preferred.value == 1.0
    html = tryout.tryout_html(now)
    assert "It prefers the left picture in both orders." in html
    assert "adherence" in html and "a picture" in html and "CLIP · scorer" in html


def test_a_judge_that_can_not_work_says_why(tmp_path: Path) -> None:
    pair = Sample(tmp_path / "a.png", "p", 0, 0), Sample(tmp_path / "b.png", "p", 0, 0)
    nothing = DatasetSplit(tryout.NOWHERE, (), (), (), ())
    gone = looked(tryout.Tryout(JudgeSettings(model=str(tmp_path / "no")), "", nothing, pair))
    assert str(tmp_path / "no") in gone.error and gone.look is None
    assert "message error" in tryout.tryout_html(gone)
    preset = find_preset(DEMO_PRESET)
    alone = looked(tryout.Tryout(JudgeSettings(model=preset.judge_model()), "", nothing, pair))
    assert "compares with training pictures" in alone.error and "Name the folder of pictures in Setup" in alone.error


def asked(chances: dict[str, float] | None, *texts: str) -> Asked:
    question = Question("Be strict.", "How <good>?", (), ("bad", "good"))
    return Asked("quality", question, Answer(chances, texts), 0.25, 0.1, "expected value", 0.1, "k")


def look(**changes: Any) -> tryout.Look:
    a, b = (Sample(Path(name), "p", 0, 0) for name in "ab")
    scores = (Judgement(a, "vlm", 0.25, {"quality": 0.25}, 0.1, "expected value"), Judgement(b, "vlm", 0.5, {}))
    one = asked({"bad": 0.75, "good": 0.25})
    made: dict[str, Any] = {"judge": "here", "scores": scores, "asked": ((one,), (one,)), "remarks": ["two <refusals>"]}
    made |= {"preferred": Preference(a, b, "vlm", 0.0), "first": 12.3, "each": 0.61, "compare": 1.2}
    return tryout.Look(**{**made, **changes})


def test_the_question_and_its_answers_are_shown_in_full() -> None:
    html = tryout.look_html(look())
    assert "How &lt;good&gt;?" in html and "Be strict." in html and "Two &lt;refusals&gt;" in html
    assert "width:75.0%" in html and "<b>75.0</b>" in html and "25.0 ± 10.0" in html
    assert "It prefers the right picture in both orders." in html
    assert "0.61 s a picture · 12 s for the first, loading included · 1.2 s to compare" in html
    texts = tryout.look_html(look(asked=((asked(None, "good", "bad"),), (asked(None, "good"),))))
    assert "good, bad" in texts
    none = tryout.look_html(look(scores=None, preferred=None, remarks=["the judge answered none of the 4 questions"]))
    assert "It could not compare them." in none and "The judge answered none" in none and "How &lt;good&gt;?" in none


def test_which_it_prefers_tells_of_flips(tmp_path: Path) -> None:
    a, b = (Sample(tmp_path / name, "p", 0, 0) for name in "ab")
    words = [tryout.choice_words(Preference(a, b, "j", value, flip)) for value, flip in ((0.5, True), (0.5, False))]
    assert words == ["A tie: shown in the other order, it chose the other picture.", "A tie in both orders."]
    assert tryout.choice_words(Preference(a, b, "j", 0.8)) == "It prefers the left picture in both orders, 80 % sure."


@pytest.fixture(scope="module")
def events(runs: Path) -> judge_events.Events:
    return Page(runs).judge_events


def given(events: judge_events.Events, runs: Path, **changes: Any) -> list[Any]:
    values = {**form.default_values(find_preset(DEMO_PRESET), str(runs / "demo-dataset")), **changes}
    return [values[n] for n in [*events._fields, *events._around]]


def test_a_test_without_pictures_or_with_a_rival_asks_back(
    events: judge_events.Events, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = given(events, runs)
    html, *_ = events._begin("zorp", None, None, "p", "", "", False, *values)
    assert "Two pictures are needed" in html
    from bracket.runner import devices

    monkeypatch.setattr(devices, "devices", lambda: [devices.Device("cuda:0", "cuda", "GPU", 24 << 30)])
    html, button, twice = events._begin("zorp", "a.png", "b.png", "p", "", "", False, *values)
    assert "zorp-live trains on this machine&#x27;s only GPU" in html and twice
    assert button["value"] == "Test all the same"
    begun: list[str] = []
    monkeypatch.setattr(events, "_now", None)
    monkeypatch.setattr(judge_events, "Tryout", stand_in(begun))
    html, button, twice = events._begin("zorp", "a.png", "b.png", "p", "", "", True, *values)
    assert begun and not twice and not button["interactive"]
    assert events._rival(JudgeSettings(kind="openai_api")) == "", "a server has its own memory"


def stand_in(begun: list[str]) -> Callable[..., tryout.Tryout]:
    """A test that is not begun, for it would load a model."""

    def make(*_: Any) -> tryout.Tryout:
        begun.append("begun")
        made = object.__new__(tryout.Tryout)
        made.doing, made.error, made.look, made.began = "Loading the model", "", None, 0.0
        return made

    return make


def test_a_wrong_rubric_is_said_before_a_model_loads(events: judge_events.Events, runs: Path) -> None:
    values = given(events, runs, judge="qwen_vl", judge_device="cpu")
    html, *_ = events._begin("zorp", "a.png", "b.png", "p", "titel: x", "", False, *values)
    assert "The rubric doesn&#x27;t fit" in html


def test_the_checks_follow_the_fields(events: judge_events.Events, runs: Path) -> None:
    fields = given(events, runs)[: len(events._fields)]
    for html in events._checked(*fields):
        assert "Nothing keeps the judge from working" in html
    wrong = given(events, runs, judge_model="/no/such/model")[: len(events._fields)]
    assert "/no/such/model" in events._checked(*wrong)[0]
    server = given(events, runs, judge="openai_api", judge_model="m", judge_url="")[: len(events._fields)]
    assert "error" in events._checked(*server)[0]
    assert "message error" in events._list_models(*server)[1]
    assert "message error" in events._connect(*server)


def test_another_kind_begins_with_a_model_of_its_own() -> None:
    preset = find_preset(DEMO_PRESET)
    for kind in ("clip", "reference"):
        assert judge_events._kind_chosen(kind, DEMO_PRESET) == (kind, preset.judge_model())
    assert judge_events._kind_chosen("qwen_vl", DEMO_PRESET) == ("qwen_vl", "")


def test_a_pair_of_the_open_session_is_put_in(runs: Path, events: judge_events.Events) -> None:
    picker, left, right, prompt = events._first_pair("zorp")
    assert picker["value"] == 0 and len(picker["choices"]) == 6
    assert Path(left).is_file() and Path(right).is_file() and "zorp" in prompt
    second = events._pair_chosen("zorp", 1)
    arms = [("winner" in Path(p).parts) for p in (left, second[0])]
    assert arms == [True, False], "sides alternate, so that none tells whose it is"
    assert events._first_pair("zorp-live")[0]["choices"] == []
