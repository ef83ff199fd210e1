from __future__ import annotations

import pytest

from bracket.errors import JudgeError
from bracket.judges.server.addresses import find_key
from bracket.judges.server.http import Patience, Server

KEY = "sk-1"


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("OPENAI_API_KEY", "OPENROUTER_API_KEY", "JUDGE_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "HF_TOKEN")
    for name in (*names, "HOME_KEYRING"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.mark.parametrize(
    ("url", "variable", "sent"),
    [
        ("https://api.openai.com/v1", "OPENAI_API_KEY", KEY),
        ("http://api.openai.com/v1", "OPENAI_API_KEY", ""),
        ("https://evil.test/v1", "OPENAI_API_KEY", ""),
        ("https://api.openai.com.evil.test/v1", "OPENAI_API_KEY", ""),
        ("https://evilapi.openai.com.test/v1", "OPENAI_API_KEY", ""),
        ("https://mine.openai.azure.com/v1", "OPENAI_API_KEY", KEY),
        ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", KEY),
        ("https://router.huggingface.co/v1", "HF_TOKEN", KEY),
        ("https://anywhere.test/v1", "JUDGE_KEY", KEY),
        ("http://10.0.0.9:8000/v1", "JUDGE_KEY", KEY),
        ("https://anywhere.test/v1", "", ""),
    ],
)
def test_where_a_key_goes(url: str, variable: str, sent: str) -> None:
    assert find_key(url, variable) == sent


@pytest.mark.parametrize(
    "variable", ["OPENROUTER_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "HF_TOKEN", "PATH"]
)
def test_a_variable_of_another_purpose_is_sent_nowhere(variable: str) -> None:
    with pytest.raises(JudgeError, match=variable):
        find_key("https://evil.test/v1", variable)


def test_a_base_url_beside_the_key_names_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://proxy.mine.test/v1")
    assert find_key("https://proxy.mine.test/v1", "OPENAI_API_KEY") == KEY
    assert find_key("https://other.test/v1", "OPENAI_API_KEY") == ""


@pytest.mark.parametrize("proxy", ["foo://x:1", "socks4://127.0.0.1:9", "http://[::1"])
def test_a_proxy_that_can_not_be_used_is_a_sentence(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    for name in ("ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    server = Server("https://anywhere.test/v1", "", variable="", timeout=1.0, concurrency=1, patience=Patience(tries=1))
    with pytest.raises(JudgeError, match="the proxy that the environment names can't be used"):
        server.ask("/models", None, dict)
