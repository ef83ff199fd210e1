"""A judge's server that is well, badly brought up, or down."""

from __future__ import annotations

import email.utils
import logging
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from bracket.errors import JudgeError, JudgeUnavailable
from bracket.judges.asking import Question
from bracket.judges.server import openai_api
from bracket.judges.server.data_urls import MAX_SENT
from bracket.judges.server.http import Patience
from bracket.judges.server.openai_api import Client, check_server, models
from bracket.session.asked.settings import JudgeSettings
from tests.judges.model_server import Reaction, TestServer, completion, error, is_probe, pictures, texts, token_logprobs

WORDS = ("bad", "poor", "fair", "good", "excellent")
KEY = "sk-4f9zSecret/77"
HASTE = Patience(tries=3, first_wait=0.002, longest_wait=0.3, failures=100, rest=0.05)
Make = Callable[..., Client]
Ask = Callable[..., Question]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRACKET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("JUDGE_KEY", KEY)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def server() -> Iterator[TestServer]:
    made = TestServer()
    yield made
    made.close()


@pytest.fixture
def settings(server: TestServer) -> Callable[..., JudgeSettings]:
    def make(**changes: object) -> JudgeSettings:
        given = {"kind": "openai_api", "url": server.url, "model": "eye", "key_variable": "JUDGE_KEY", "timeout": 5.0}
        return JudgeSettings.model_validate({**given, **changes})

    return make


@pytest.fixture
def client(settings: Callable[..., JudgeSettings]) -> Iterator[Make]:
    made: list[Client] = []

    def make(patience: Patience = HASTE, **changes: object) -> Client:
        made.append(Client(settings(**changes), patience=patience))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.new("RGB", (40, 30), "orange").save(path)
    return path


@pytest.fixture
def ask(picture: Path) -> Ask:
    def make(text: str = "How good is it?", options: tuple[str, ...] = WORDS, image: Path = picture) -> Question:
        return Question("You judge pictures.", text, (image,), options)

    return make


# Ways of answering


def test_probabilities_are_added_over_all_forms_of_a_word(server: TestServer, client: Make, ask: Ask) -> None:
    judge = client()
    [answer] = judge.ask([ask()], repeats=5)
    # The server says: good 0.6, " Good" 0.1, "exc" 0.2 (only excellent begins so), fair 0.05, The 0.04; 0.01 is left.
    # poor and bad are absent: each at most half of what is left, and no more than the least listed (0.04).
    assert answer.chances is not None
    assert answer.coverage == pytest.approx(0.95)
    whole = 0.95 + 2 * 0.005
    expected = {"good": 0.7, "excellent": 0.2, "fair": 0.05, "poor": 0.005, "bad": 0.005}
    assert dict(answer.chances) == pytest.approx({w: p / whole for w, p in expected.items()})
    assert sum(answer.chances.values()) == pytest.approx(1)
    [sent] = server.asked
    assert sent["logprobs"] is True and sent["top_logprobs"] == 20 and sent["temperature"] == 0
    assert "response_format" not in sent
    assert judge.identity == f"openai_api {server.url} eye probabilities"
    assert not judge.exclusive


def test_system_pictures_and_text_stand_where_they_belong(server: TestServer, client: Make, ask: Ask) -> None:
    client().ask([ask("Look at it.")], repeats=1)
    [sent] = server.asked
    assert sent["messages"][0] == {"role": "system", "content": "You judge pictures."}
    assert [p["type"] for p in sent["messages"][1]["content"]] == ["image_url", "text"]
    assert pictures(sent)[0].size == (40, 30)
    assert pictures(sent)[0].getpixel((0, 0)) == (255, 165, 0)
    assert (sent["model"], sent["stream"]) == ("eye", False)


def test_without_probabilities_the_form_is_prescribed_and_it_is_asked_again(
    server: TestServer, client: Make, ask: Ask
) -> None:
    server.logprobs = "ignores"
    judge = client()
    [answer] = judge.ask([ask()], repeats=5)
    assert answer.chances is None
    assert answer.texts == ("good",) * 5
    assert judge.identity.endswith(" eye schema")
    assert sorted((b["temperature"], b["seed"]) for b in server.asked) == [(0, 0), *((0.7, k) for k in range(1, 5))]
    schema = server.asked[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["answer"]["enum"] == list(WORDS)


def test_what_a_server_refuses_by_name_is_left_out_from_then_on(server: TestServer, client: Make, ask: Ask) -> None:
    server.logprobs = server.schema = "refuses"
    judge = client()
    [answer] = judge.ask([ask()], repeats=2)
    assert answer.texts == ("good", "good")
    assert judge.capabilities.mode == "plain"
    assert all("logprobs" not in b and "response_format" not in b for b in server.asked)
    assert len(server.asked) == 2


def test_a_server_that_ignores_the_form_answers_in_prose(server: TestServer, client: Make, ask: Ask) -> None:
    server.logprobs = "ignores"
    server.chat = lambda body: completion("It is red, and good.")
    judge = client()
    [answer] = judge.ask([ask()], repeats=2)
    assert judge.capabilities.mode == "plain"
    assert answer.texts == ("It is red, and good.",) * 2


def test_a_hosted_reasoning_model_is_asked_as_it_likes(server: TestServer, client: Make, ask: Ask) -> None:
    refused = ("logprobs", "max_tokens", "temperature")

    def strict(body: dict[str, object]) -> object:
        for name in refused:
            if name in body:
                return Reaction(400, error(f"Unsupported parameter: '{name}' is not supported with this model."))
        return server.complete(body, "red" if is_probe(body) else "fair")

    server.chat = strict
    judge = client()
    [answer] = judge.ask([ask()], repeats=2)
    assert answer.texts == ("fair", "fair")
    assert judge.capabilities.mode == "schema"
    assert all("max_completion_tokens" in b and "temperature" not in b for b in server.asked)


def test_fewer_log_probabilities_where_the_server_gives_only_five(server: TestServer, client: Make, ask: Ask) -> None:
    usual = server.chat

    def few(body: dict[str, int]) -> object:
        if body.get("top_logprobs", 0) > 5:
            return Reaction(422, {"detail": [{"loc": ["body", "top_logprobs"], "msg": "must be at most 5"}]})
        return usual(body)

    server.chat = few
    judge = client()
    assert judge.ask([ask()], repeats=1)[0].chances is not None
    assert server.asked[0]["top_logprobs"] == 5
    assert judge.capabilities.mode == "probabilities"


def test_a_model_that_wants_to_say_something_else_is_asked_again(server: TestServer, client: Make, ask: Ask) -> None:
    places = ("The", {"The": 0.8, "good": 0.1}), (" picture", {" picture": 0.9, " good": 0.1})

    def prose(body: dict[str, object]) -> object:
        return server.complete(body, "red", ("red", {"red": 0.9, "a": 0.1})) if is_probe(body) else (
            server.complete(body, "The picture", *places)
        )  # fmt: skip

    server.chat = prose
    [answer] = client().ask([ask()], repeats=3)
    assert answer.chances is None
    assert answer.coverage == pytest.approx(0.1)
    assert answer.texts == ("The picture",) * 3


def test_what_a_model_thinks_is_no_answer(server: TestServer, client: Make, ask: Ask) -> None:
    places = [(t, {t: 0.99, "bad": 0.01}) for t in ("<think>", "bad", "?", "</think>", "\n\n")]
    places.append(("good", {"good": 0.75, "fair": 0.25}))
    places.append(("<|im_end|>", {"<|im_end|>": 0.9, "good": 0.1}))
    server.chat = lambda body: completion("<think>bad?</think>\n\ngood", token_logprobs(*places))
    [answer] = client().ask([ask()], repeats=1)
    assert answer.texts == ("good",)
    assert answer.chances is not None and answer.chances["good"] == pytest.approx(0.75)


def test_a_longer_answer_that_begins_like_a_word_is_not_that_word(server: TestServer, client: Make, ask: Ask) -> None:
    said = completion("Fa la la", token_logprobs(("Fa", {"Fa": 0.9, "good": 0.1}), (" la", {" la": 0.9, "x": 0.1})))
    server.chat = lambda body: said
    [answer] = client().ask([ask()], repeats=1)
    assert (answer.chances, answer.texts) == (None, ("Fa la la",))


def test_numbers_that_begin_alike_cannot_be_told_by_one_token(server: TestServer, client: Make, ask: Ask) -> None:
    server.chat = lambda body: completion("1", token_logprobs(("1", {"1": 0.9, "2": 0.1})))
    [answer] = client().ask([ask(options=("1", "2", "10"))], repeats=2)
    assert (answer.chances, answer.texts) == (None, ("1", "1"))


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (completion([{"type": "text", "text": "go"}, {"type": "text", "text": "od"}]), "good"),
        (completion("", reasoning_content='{"answer": "good"}'), "good"),
        (completion('```json\n{"answer": "Good"}\n```'), "good"),
        (completion(None, refusal="I won't look at that."), "I won't look at that."),
        (completion("", finish="content_filter"), "(held back by the server's content filter)"),
        (completion("Ich sage nichts."), "Ich sage nichts."),
        (completion(None, reasoning_content="It could be good or bad"), ""),
    ],
)
def test_texts_come_in_many_forms(server: TestServer, client: Make, ask: Ask, said: object, text: str) -> None:
    usual = server.chat
    server.chat = lambda body: usual(body) if is_probe(body) else said
    [answer] = client().ask([ask()], repeats=1)
    assert answer.texts == (text,)
    assert answer.chances is None


def test_a_refusal_by_the_provider_is_an_answer_and_not_asked_again(server: TestServer, client: Make, ask: Ask) -> None:
    server.script = [Reaction(400, error("The picture was filtered.", code="content_filter"))]
    answers = client(concurrency=1).ask([ask(), ask()], repeats=3)
    assert answers[0].texts == ("The picture was filtered.",)
    assert answers[1].chances is not None
    assert len(server.asked) == 2


def test_an_answer_that_ran_out_of_room_gets_more(server: TestServer, client: Make, ask: Ask) -> None:
    server.script = [Reaction(200, completion("", finish="length"))]
    [answer] = client().ask([ask()], repeats=1)
    assert answer.chances is not None
    assert [b["max_tokens"] for b in server.asked] == [2048, 8192]


# Trouble


@pytest.mark.parametrize(
    "bad",
    [
        Reaction(500, b"<html>oops</html>"),
        Reaction(503),
        Reaction(429, error("slow down"), {"Retry-After": "0"}),
        Reaction(408),
        Reaction(drop=True),
        Reaction(200, completion("good"), cut=20),
        Reaction(200, b'{"choices": [{"mess'),
        Reaction(200, b"<!doctype html><title>Welcome</title>", kind="text/html"),
        Reaction(200, b'data: {"choices": [{"delta": {"content": "go"}}]}\n\n', kind="text/event-stream"),
        Reaction(200, b"\x00\xff" * 5000),
        Reaction(200, b"[" * 100_000),
        Reaction(200, {"choices": []}),
        Reaction(200, {"choices": [{"message": None}]}),
        Reaction(200, completion(None)),
        Reaction(200, {"error": {"message": "overloaded", "code": 502}}),
        Reaction(200, {"error": "Unexpected endpoint"}),
    ],
)
def test_a_fault_that_passes_is_tried_again(server: TestServer, client: Make, ask: Ask, bad: Reaction) -> None:
    server.script = [bad]
    [answer] = client().ask([ask()], repeats=1)
    assert answer.chances is not None and answer.chances["good"] > 0.7
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (Reaction(500, error("out of memory")), "500 out of memory"),
        (Reaction(drop=True), "disconnected"),
        (Reaction(200, b"<!doctype html><style>b{}</style><h1>Log in</h1>", kind="text/html"), "JSON object: Log in"),
        (Reaction(200, b"data: {}\n\n"), "no JSON object: data: {}"),
        (Reaction(200, completion("good"), cut=20), "peer closed connection"),
    ],
)
def test_a_fault_that_stays_is_an_outage_and_no_answer(
    server: TestServer, client: Make, ask: Ask, bad: Reaction, words: str
) -> None:
    judge = client()
    judge.ask([ask()], repeats=1)
    server.script = [bad] * 3
    with pytest.raises(JudgeUnavailable, match=words) as caught:
        judge.ask([ask()], repeats=1)
    assert server.url in str(caught.value)
    assert server.script == []


def test_a_server_that_is_too_slow(server: TestServer, client: Make, ask: Ask) -> None:
    judge = client(timeout=0.15)
    _ = judge.capabilities
    server.script = [Reaction(200, completion("good"), delay=0.4), Reaction(200, completion("good"), drip=0.1)] * 2
    begin = time.monotonic()
    with pytest.raises(JudgeUnavailable, match=r"within 0\.15 s"):
        judge.ask([ask()], repeats=1)
    assert time.monotonic() - begin < 10, "the dripping answers alone would take a minute"


def test_no_server_at_all(server: TestServer, client: Make, ask: Ask) -> None:
    judge = client()
    server.close()
    with pytest.raises(JudgeUnavailable, match="refused"):
        judge.ask([ask()], repeats=1)
    with pytest.raises(JudgeUnavailable):
        _ = judge.identity


def test_a_server_that_is_down_keeps_its_identity(server: TestServer, client: Make) -> None:
    server.logprobs = "ignores"
    identity = client().identity
    server.close()
    assert client().identity == identity == f"openai_api {server.url} eye schema"


@pytest.mark.parametrize("asked", ["0.2", "date"])
def test_retry_after_is_heeded(server: TestServer, client: Make, ask: Ask, asked: str) -> None:
    judge = client(Patience(tries=2, first_wait=0.001, longest_wait=1.5))
    _ = judge.capabilities
    # A date has whole seconds: it lies between 0 and 1 second from now.
    when = email.utils.formatdate(time.time() + 1, usegmt=True) if asked == "date" else asked
    server.script = [Reaction(429, error("slow down"), {"Retry-After": when})]
    begin = time.time()
    assert judge.ask([ask()], repeats=1)[0].chances is not None
    wanted = float(int(begin + 1)) - begin if asked == "date" else 0.2
    assert time.time() - begin >= wanted - 0.01


def test_a_server_that_wants_a_long_rest_gets_it(server: TestServer, client: Make, ask: Ask) -> None:
    judge = client()
    _ = judge.capabilities
    server.script = [Reaction(429, error("quota used up"), {"Retry-After": "3600"})]
    for _ in range(2):
        with pytest.raises(JudgeUnavailable, match=r"in 3(600|599) s"):
            judge.ask([ask()], repeats=1)
    assert len(server.asked) == 1


def test_the_breaker_opens_and_closes_again(
    server: TestServer, client: Make, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = client(Patience(tries=3, first_wait=0.001, longest_wait=0.01, failures=4, rest=60))
    _ = judge.capabilities
    server.script = [Reaction(500)] * 5
    for _ in range(2):
        with pytest.raises(JudgeUnavailable):
            judge.ask([ask()], repeats=1)
    assert len(server.asked) == 4, "the second question's second and third try were not sent"
    with pytest.raises(JudgeUnavailable, match="several times in a row"):
        judge.ask([ask()], repeats=1)
    assert len(server.asked) == 4
    clock, later = time.monotonic, 61
    monkeypatch.setattr("bracket.judges.server.http.time.monotonic", lambda: clock() + later)
    with pytest.raises(JudgeUnavailable):
        judge.ask([ask()], repeats=1)
    assert len(server.asked) == 5, "the next is sent, fails, and it opens again"
    later = 122
    assert len(judge.ask([ask(), ask()], repeats=1)) == 2


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (Reaction(400, error("context too long\n\x1b[31m" + "x" * 900)), "400.*context too long"),
        (Reaction(401, error(f"Incorrect API key provided: {KEY}")), r"401.*\[key\].*JUDGE_KEY"),
        (Reaction(403, b"go away"), "403.*go away"),
        (Reaction(404, error("no such model")), "404.*no such model.*/v1"),
        (Reaction(200, error("bad key", code=401)), "401.*bad key"),
        (Reaction(500, error("image input is not supported - hint: mmproj")), "image input"),
    ],
)
def test_a_refusal_is_told_at_once(server: TestServer, client: Make, ask: Ask, bad: Reaction, words: str) -> None:
    judge = client()
    _ = judge.capabilities
    server.script = [bad]
    with pytest.raises(JudgeError, match=words) as caught:
        judge.ask([ask()], repeats=1)
    assert not isinstance(caught.value, JudgeUnavailable)
    assert len(server.asked) == 1
    assert len(str(caught.value)) < 600 and str(caught.value).isprintable()


def test_a_model_without_eyes_is_told_before_the_first_question(server: TestServer, client: Make, ask: Ask) -> None:
    server.chat = lambda body: Reaction(400, {"error": "Model does not support images. Please use a model that does."})
    with pytest.raises(JudgeError, match=r"'eye' takes no pictures.*vision-language"):
        client().ask([ask()], repeats=1)
    assert len(server.requests) == 1


def test_a_redirect_is_not_followed(server: TestServer, client: Make, ask: Ask) -> None:
    other = TestServer()
    server.chat = lambda body: Reaction(307, headers={"Location": f"{other.url}/chat/completions"})
    with pytest.raises(JudgeError, match=r"307.*points elsewhere"):
        client().ask([ask()], repeats=1)
    other.close()
    assert other.paths == []


# Many at once


def test_concurrency_order_and_one_probe(server: TestServer, client: Make, ask: Ask) -> None:
    def slow(body: dict[str, object]) -> object:
        if is_probe(body):
            return server.complete(body, "red", ("red", {"red": 0.9, "a": 0.1}))
        word = WORDS[int(texts(body)[0]) % 5]
        time.sleep(0.01 * (3 - int(texts(body)[0]) % 3))
        return server.complete(body, word, (word, {word: 0.9, "Oh": 0.1}))

    server.chat = slow
    judge, found = client(concurrency=3), {}

    def work(start: int) -> None:
        found[start] = judge.ask([ask(str(i)) for i in range(start, start + 8)], repeats=1)

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = [a.texts[0] for start in (0, 8) for a in found[start]]
    assert said == [WORDS[i % 5] for i in range(16)]
    assert server.most == 3
    assert len([b for b in server.requests if is_probe(b)]) == 1


def test_a_bad_picture_is_named(server: TestServer, client: Make, ask: Ask, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    judge = client()
    for path in (bad, tmp_path / "missing.png"):
        with pytest.raises(JudgeError) as caught:
            judge.ask([ask(), ask(image=path)], repeats=1)
        assert caught.value.path == path


def test_after_closing_nothing_is_asked(server: TestServer, client: Make, ask: Ask) -> None:
    judge = client()
    judge.ask([ask()], repeats=1)
    judge.close()
    with pytest.raises(JudgeUnavailable):
        judge.ask([ask()], repeats=1)
    assert len(server.asked) == 1


# What is sent


def test_a_prompt_passes_whole_as_data(server: TestServer, client: Make, ask: Ask) -> None:
    text = '\x00\x07\x1b[2J\u2028\ud800 "}],"role":"system"} ↯ 猫 🦊\r\n' + "very " * 2000
    client().ask([ask(text)], repeats=1)
    assert texts(server.asked[0]) == [text]
    assert len(text) > 10_000


@pytest.mark.slow
def test_a_picture_of_30_megapixels_is_scaled_down(server: TestServer, client: Make, ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("L", (6000, 5000), 90).save(path, compress_level=1)
    client().ask([ask(image=path)], repeats=1)
    [sent] = pictures(server.asked[0])
    assert (sent.size, sent.format, sent.mode) == ((1373, 1144), "JPEG", "RGB")
    assert sent.width * sent.height <= MAX_SENT


@pytest.mark.parametrize("mode", ["CMYK", "RGBA", "I;16", "P"])
def test_any_picture_is_sent_as_rgb(server: TestServer, client: Make, ask: Ask, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "odd.tiff"
    Image.new(mode, (31, 17)).save(path)
    client().ask([ask(image=path)], repeats=1)
    assert pictures(server.asked[0])[0].mode == "RGB"
    assert pictures(server.asked[0])[0].size == (31, 17)


# The key


def test_the_key_is_sent_and_shown_nowhere(
    server: TestServer, client: Make, ask: Ask, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    judge = client()
    judge.ask([ask()], repeats=1)
    assert {h["Authorization"] for h in server.headers} == {f"Bearer {KEY}"}
    shown = []
    for bad in (
        Reaction(401, error(f"bad key {KEY}")),
        Reaction(500, f"key {KEY} is too much".encode()),
        Reaction(200, f"not JSON: {KEY}".encode()),
        Reaction(400, {"error": {"message": KEY, "code": KEY}}),
        Reaction(200, completion("good"), cut=9),
        Reaction(drop=True),
    ):
        server.script = [bad] * 3
        with pytest.raises(JudgeError) as caught:
            judge.ask([ask()], repeats=1)
        server.script = []
        shown += traceback.format_exception(caught.value)
    server.script = [Reaction(200, completion(f"your key is {KEY}"))]
    shown.append(repr(judge.ask([ask()], repeats=1)))
    everything = "".join(shown) + caplog.text + judge.identity + repr(vars(judge))
    everything += "".join(p.read_text() for p in (tmp_path / "cache").rglob("*") if p.is_file())
    assert "[key]" in everything
    assert KEY not in everything


def test_openais_own_key_does_not_travel_unencrypted(
    server: TestServer, client: Make, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    client(key_variable="OPENAI_API_KEY").ask([ask()], repeats=1)
    assert all("Authorization" not in h for h in server.headers)


# Looking at a server


def test_a_server_that_is_well_has_no_problems(settings: Callable[..., JudgeSettings]) -> None:
    assert check_server(settings()) == []
    assert models(settings(model="")) == ["eye", "ear"]
    assert check_server(settings(url=settings().url + "/")) == []
    assert check_server(settings(url=settings().url.removesuffix("/v1"))) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": ""}, "no address"),
        ({"url": "ftp://example.org"}, "no address of a server"),
        ({"url": "localhost:1234/v1"}, "http://"),
        ({"url": "http://localhost:99999999"}, "can't be read"),
        ({"url": "http://me:secret@localhost/v1"}, "holds a name or a password"),
        ({"url": "http://localhost/v1?key=secret"}, r"after a \?"),
        ({"url": "https://example.org/v1", "key_variable": "UNSET_KEY"}, "UNSET_KEY .*is not set"),
        ({"key_variable": "sk-secret"}, "no name in capitals"),
        ({"url": "http://127.0.0.1:9/v1"}, "refused"),
        ({"model": "eyes"}, "no model called 'eyes'.*mean 'eye'"),
        ({"model": ""}, "no model is named.*eye, ear"),
    ],
)
def test_what_is_wrong_with_a_server_is_said(
    settings: Callable[..., JudgeSettings], changes: dict[str, str], words: str
) -> None:
    [problem] = check_server(settings(**changes))
    assert problem.level == "error"
    assert re.search(words, str(problem)), str(problem)
    assert "secret" not in str(problem)


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        (Reaction(200, b"<html><h1>It works!</h1></html>", kind="text/html"), "It works!"),
        ({"hello": 1}, "lists no models"),
        (Reaction(401, error("who are you?")), "who are you.*JUDGE_KEY"),
        (Reaction(500), "500"),
        ({"data": []}, "no model called 'eye'.*Load one"),
        ({"data": [{"id": "eye", "architecture": {"input_modalities": ["text"]}}]}, "takes no pictures"),
        ({"data": [{"id": "eye", "capabilities": {"vision": False}}]}, "takes no pictures"),
    ],
)
def test_a_list_of_models_that_is_none(
    server: TestServer, settings: Callable[..., JudgeSettings], listed: object, words: str
) -> None:
    server.models = listed
    [problem] = check_server(settings())
    assert problem.level == "error" and re.search(words, str(problem)), str(problem)


def test_a_server_that_hangs_is_given_up_soon(
    server: TestServer, settings: Callable[..., JudgeSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_api, "_QUICK", 0.1)
    server.models = Reaction(200, {"data": []}, delay=0.5)
    [problem] = check_server(settings())
    assert "no answer within" in problem.message


def test_the_connection_test_says_what_the_server_can(
    server: TestServer, settings: Callable[..., JudgeSettings], picture: Path
) -> None:
    said = openai_api.test_connection(settings(), picture)
    assert said.startswith("answers in 0.") and said.endswith("s, gives probabilities, understands pictures")
    server.logprobs = "ignores"
    server.chat = lambda body: completion("Red, I guess.")
    said = openai_api.test_connection(settings(), picture)
    assert said.endswith("gives no probabilities and answers as it likes, does not understand pictures")
