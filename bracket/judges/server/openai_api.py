"""Asks a model on any OpenAI-compatible server: LM Studio, Ollama, vLLM, llama.cpp, or a hosted one.

Pictures travel as base64 data URLs (`data_urls`). What the server
can do is found out by one small question before the first: log-probabilities of the answer's first token (one question
then says all), else answers of a prescribed form (JSON schema), else free text; the latter two are asked `repeats`
times. A setting that the server refuses by name is left out from then on.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bracket.domain import Problem
from bracket.errors import JudgeError, JudgeUnavailable
from bracket.judges.asking import Answer, Question
from bracket.judges.base import JudgeSettings, nearest
from bracket.judges.server.addresses import DEFAULT_VARIABLE, address, find_key, is_local
from bracket.judges.server.capabilities import MOST_TOKENS, Capabilities, recall, remember
from bracket.judges.server.data_urls import picture_part, plain_part, text_part
from bracket.judges.server.http import Garbage, Patience, Rejected, Server, cut
from bracket.judges.server.replies import Reply, read_reply
from bracket.judges.server.together import Crew

log = logging.getLogger(__name__)

_QUICK = 3.0
"""Seconds a server may take to be looked at."""
_REFUSALS = {"content_filter", "content_policy_violation", "moderation_blocked", "responsibleaipolicyviolation"}
_COLOURS = {"red": (220, 20, 20), "green": (20, 170, 20), "blue": (20, 20, 220)}


class Client:
    """An `Asker` (see `asking`) on a server.

    Never exclusive, and nothing to park: what memory a server holds, and when it lets go of it, is its own business
    (LM Studio's and Ollama's time to live). One that shares the GPU with the trainings should be kept small, or given a
    GPU of its own.

    Raises:
        JudgeError: the address or the key can't be used, or no model is named.
    """

    exclusive = False

    def __init__(self, settings: JudgeSettings, *, patience: Patience | None = None) -> None:
        self._patience = patience or Patience()
        self._model = settings.model.strip()
        if not self._model:
            raise JudgeError("no model is named for the judge's server", remedy="Choose one of those it offers.")
        self._server = _server(settings, self._patience)
        self._capabilities: Capabilities | None = None
        self._lock = threading.Lock()
        self._crew = Crew(settings.concurrency)

    @property
    def capabilities(self) -> Capabilities:
        """What the server can do for this model, found out by one small question when that isn't known yet.

        Raises:
            JudgeError: the server refuses, or the model takes no pictures.
            JudgeUnavailable: it can't be asked now.
        """
        with self._lock:
            if self._capabilities is None:
                self._capabilities = self._find_out()
                remember(self._server.url, self._model, self._capabilities)
            return self._capabilities

    @property
    def identity(self) -> str:
        """Server, model and how answers are had. A server that is down is known by what it could do last.

        Raises:
            JudgeError, JudgeUnavailable: as `capabilities`, where nothing is remembered.
        """
        try:
            found = self.capabilities
        except JudgeUnavailable:
            remembered = recall(self._server.url, self._model)
            if remembered is None:
                raise
            found = remembered
        return f"openai_api {self._server.url} {self._model} {found.mode}"

    def ask(self, questions: Sequence[Question], *, repeats: int) -> list[Answer]:
        """An answer a question, in their order; `repeats` times where there are no probabilities.

        Raises:
            JudgeError: a picture can't be read (`path` names it), or the server refuses (`path` is None).
            JudgeUnavailable: the server can't be asked now.
        """
        if not questions:
            return []
        _ = self.capabilities
        firsts = self._crew.each(questions, lambda q: self._reply(q, 0))
        again = [(i, k) for i, r in enumerate(firsts) if not r.chances and not r.refused for k in range(1, repeats)]
        more = self._crew.each(again, lambda ik: self._reply(questions[ik[0]], ik[1]))
        texts = [[r.text] for r in firsts]
        for (i, _), reply in zip(again, more, strict=True):
            texts[i].append(reply.text)
        return [Answer(r.chances, tuple(t), r.coverage) for r, t in zip(firsts, texts, strict=True)]

    def park(self) -> None:
        """Nothing: the server's memory is its own."""

    def close(self) -> None:
        """Let go of the connections; what is being asked is given up."""
        self._server.close()

    def _reply(self, question: Question, number: int) -> Reply:
        """The model's answer when asked for the `number`-th time, counted from 0."""
        content = [picture_part(path) for path in question.images]
        return self._say(question.system, [*content, text_part(question.text)], question.options, number)

    def _say(self, system: str, content: list[Any], options: Sequence[str], number: int) -> Reply:
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if system:
            messages.insert(0, {"role": "system", "content": system})
        known = self._capabilities or Capabilities()
        reply = self._adapted(known, messages, options, number)
        if reply.text or reply.refused:
            return reply
        # Nothing was said: once more, with more room where that was the reason.
        known = self._capabilities or known
        if reply.cut_short and known.tokens < MOST_TOKENS:
            known = replace(known, tokens=MOST_TOKENS)
            self._learn(known)
        return self._adapted(known, messages, options, number)

    def _adapted(
        self, known: Capabilities, messages: list[dict[str, Any]], options: Sequence[str], number: int
    ) -> Reply:
        """The answer to a request without the settings that the server turns out to refuse."""
        while True:
            body = {"model": self._model, "messages": messages, **known.request(options, number)}
            try:
                return self._server.ask("/chat/completions", body, lambda data: read_reply(data, options))
            except Rejected as refusal:
                if refusal.code.lower() in _REFUSALS:
                    return Reply(cut(refusal.words), refused=True)
                less = known.without(refusal.words, refusal.param) if refusal.status in (400, 422) else None
                if less is None:
                    raise
                known = less
                self._learn(known)

    def _learn(self, found: Capabilities) -> None:
        """Two threads may learn at once: both find out the same sooner or later."""
        self._capabilities = found

    def _find_out(self) -> Capabilities:
        """Ask of a red picture's colour until the way of asking no longer changes."""
        try:
            found = self._try(Capabilities())
        except Rejected as refusal:
            if not refusal.about_pictures:
                raise
            raise JudgeError(
                f"the model {self._model!r} takes no pictures: {cut(refusal.words)}",
                remedy="Choose a vision-language model, such as a Qwen3-VL.",
            ) from refusal
        finally:
            self._capabilities = None
        log.info("The judge's server at %s answers %s by %s.", self._server.url, self._model, found.mode)
        return found

    def _try(self, known: Capabilities) -> Capabilities:
        self._capabilities = known
        reply, found = self._colour("red"), self._capabilities
        if known.top and found.top and not reply.measured:
            return self._try(replace(found, top=0))
        if known.top and not found.top:
            return self._try(found)
        if found.mode == "schema" and reply.text not in _COLOURS:
            return replace(found, schema=False)
        return found

    def _colour(self, name: str) -> Reply:
        """What the model says of a picture in one colour."""
        text = f"Which colour is this picture? Answer with one word: {', '.join(_COLOURS)}."
        return self._say("", [plain_part(_COLOURS[name]), text_part(text)], tuple(_COLOURS), 0)

    def test(self, image: Path) -> str:
        """See `test_connection`."""
        capabilities = self.capabilities
        said = {c: self._colour(c).text.lower() for c in _COLOURS}
        sees = all([c for c in _COLOURS if c in text] == [name] for name, text in said.items())
        begin = time.monotonic()
        self._say("", [picture_part(image), text_part("Is this a picture? Answer yes or no.")], ("yes", "no"), 0)
        seconds = time.monotonic() - begin
        gives = {
            "probabilities": "gives probabilities",
            "schema": "gives no probabilities, but answers in the form asked for",
            "plain": "gives no probabilities and answers as it likes",
        }[capabilities.mode]
        return f"answers in {seconds:.1f} s, {gives}, {'understands' if sees else 'does not understand'} pictures"


def check_server(settings: JudgeSettings) -> list[Problem]:
    """What keeps the judge's server from being asked, found out in a few seconds, without asking its model anything."""
    try:
        url = address(settings.url)
        key = find_key(url, settings.key_variable)
    except JudgeError as error:
        return [Problem("error", error.message, error.remedy)]
    variable = settings.key_variable
    if url.startswith("https:") and not key and not is_local(url):
        remedy = f"Set {variable} to the server's key (to any word where it asks for none)." if variable else ""
        missing = f"the environment variable {variable} with the server's key is not set" if variable else ""
        if variable == DEFAULT_VARIABLE and os.environ.get(variable):
            missing = f"the key in {variable} goes to OpenAI alone"
            remedy = "Give this server's key its own variable, such as JUDGE_API_KEY, or set OPENAI_BASE_URL."
        message = missing or "no environment variable is named for the server's key"
        return [Problem("error", message, remedy or "Name one in the judge's settings.")]
    problems = []
    if key and url.startswith("http:") and not is_local(url):
        message = f"the key travels to {url} unencrypted"
        problems.append(Problem("warning", message, "Use https where others may listen."))
    try:
        offered = _offered(settings)
    except JudgeError as error:
        return [*problems, Problem("error", error.message, error.remedy)]
    return problems + _check_model(settings.model.strip(), offered)


def models(settings: JudgeSettings) -> list[str]:
    """The models that the server offers, in its order.

    Raises:
        JudgeError: the address or the key can't be used, or the server refuses.
        JudgeUnavailable: it doesn't answer, or not as an OpenAI-compatible server.
    """
    return list(_offered(settings))


def test_connection(settings: JudgeSettings, image: Path) -> str:
    """How the model takes a question about this picture: "answers in 1.2 s, gives probabilities, understands pictures".

    It is shown three pictures in one colour beside, whose colours it must name. May take `settings.timeout` seconds for
    each, longer where the server loads the model first.

    Raises:
        JudgeError: as `Client`, or the picture can't be read, or the server refuses.
        JudgeUnavailable: the server doesn't answer.
    """
    client = Client(settings, patience=Patience(tries=1))
    try:
        return client.test(image)
    finally:
        client.close()


def _server(settings: JudgeSettings, patience: Patience, most: float = float("inf")) -> Server:
    url, variable = address(settings.url), settings.key_variable
    timeout, concurrency = min(settings.timeout, most), settings.concurrency
    key = find_key(url, variable)
    return Server(url, key, variable=variable, timeout=timeout, concurrency=concurrency, patience=patience)


def _offered(settings: JudgeSettings) -> dict[str, Mapping[str, Any]]:
    """What the server says of each model it offers."""
    server = _server(settings, Patience(tries=1), _QUICK)
    try:
        return server.ask("/models", None, _read_models)
    finally:
        server.close()


def _read_models(data: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    entries = data.get("data", data.get("models"))
    if not isinstance(entries, list):
        raise Garbage("it lists no models, as an OpenAI-compatible server does")
    named = [(e.get("id") or e.get("name"), e) for e in entries if isinstance(e, dict)]
    return {name: entry for name, entry in named if isinstance(name, str)}


def _check_model(model: str, offered: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    names = list(offered)
    if not model:
        remedy = f"It offers {', '.join(names[:5])}." if names else "Load one on the server."
        return [Problem("error", "no model is named for the judge's server", remedy)]
    # Ollama leaves out its own word for the newest.
    found = next((n for n in (model, f"{model}:latest") if n in offered), None)
    if found is None:
        remedy = nearest(model, names[:20], "models") if names else "Load one on the server."
        return [Problem("error", f"the server offers no model called {cut(model)!r}", remedy)]
    if _sees(offered[found]) is False:
        remedy = "Choose a vision-language model, such as a Qwen3-VL."
        return [Problem("error", f"the server says that {found} takes no pictures", remedy)]
    return []


def _sees(entry: Mapping[str, Any]) -> bool | None:
    """Whether a model takes pictures, by the words of the servers that say so; None when this one doesn't."""
    architecture = entry.get("architecture")
    inputs = (architecture if isinstance(architecture, dict) else entry).get("input_modalities")
    if isinstance(inputs, list):
        return "image" in inputs
    abilities = entry.get("capabilities")
    if isinstance(abilities, dict) and isinstance(abilities.get("vision"), bool):
        return bool(abilities["vision"])
    return {"vlm": True, "llm": False, "embeddings": False}.get(str(entry.get("type")))
