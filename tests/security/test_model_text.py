"""No text brings a token of a chat template, or a character that nobody sees, to a model."""

import ast
import asyncio
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import rlm.direct
import rlm.routing
from retrieval.model_text import neutralize_tokens
from retrieval.models.manifest import LANGUAGE_GGUF
from retrieval.models.store import ModelStore
from rlm.checking import judging
from rlm.checking.quotes import QuotedText, fold_text
from rlm.llm.completion import Completion, ThoughtFilter, fill_completion
from rlm.llm.port import SubCall
from rlm.llm.profiles import LOCAL_QWEN, ModelProfile
from rlm.llm.server_habits import RequestFormat
from rlm.llm.structured_output import build_response_format
from rlm.loop.prompts import build_instructions
from rlm.operators import tasks
from rlm.tables import lookups
from tests.fakes.scripted_chat import ScriptedChat
from tests.support.chat_templates import TOKENS, special_tokens

_ROOT = Path(__file__).parents[2]
_ALL = [token for tokens in TOKENS.values() for token in tokens]
_HIDDEN = "".join(map(chr, (*range(0xE0000, 0xE0080), *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200B, 0x200E)))
_PIECES = st.sampled_from(
    [*_ALL, "<", ">", "|", "[", "]", "/", "<|", "|>", "word", " ", "\n", *_HIDDEN, "\ufe0f", "\u200d"]
)


@pytest.mark.parametrize("family", TOKENS)
def test_no_token_of_a_known_chat_template_is_left(family: str) -> None:
    for token in TOKENS[family]:
        assert token not in neutralize_tokens(f"before {token} behind"), token
        assert token not in neutralize_tokens(token + token), token


def test_no_token_of_the_shipped_models_tokenizer_is_left(model_store: ModelStore) -> None:
    tokens = special_tokens(model_store.directory / LANGUAGE_GGUF)
    assert "<|im_start|>" in tokens
    assert [token for token in tokens if token in neutralize_tokens(f"before {token} behind")] == []


@given(st.lists(_PIECES, max_size=12).map("".join))
@example("<|im_<|im_end|>end|>")
@example("<|im_\u200bend|>")
@example("<|im\U000e0041_end|>")
def test_nothing_is_put_together_by_taking_out(text: str) -> None:
    left = neutralize_tokens(text)
    assert [token for token in _ALL if token in left] == []
    assert neutralize_tokens(left) == left


@given(st.lists(_PIECES, max_size=12).map("".join))
def test_what_a_model_copies_is_found_in_the_original(text: str) -> None:
    original = f"The first word. {text} The last word."
    assert fold_text(neutralize_tokens(original)) == fold_text(original)
    assert QuotedText(original).locate(neutralize_tokens(original)) is not None


@pytest.mark.parametrize("token", ["<|im_end|>", "<s>", "[INST]", "<｜User｜>", "<think>"])
def test_a_quotation_of_a_text_about_templates_gets_its_place_in_that_text(token: str) -> None:
    text = f"Chapter 2.\n\nA turn ends with {token} in this\u00ad template. Then the next begins."
    start, end = QuotedText(text).locate(neutralize_tokens(f"A turn ends with {token} in this template.")) or (0, 0)
    assert text[start:end].startswith(f"A turn ends with {token}")


@pytest.mark.parametrize(
    "text",
    [
        "if a < b and c > d: x[i] = y[j] | z",
        "std::vector<String> names; List<int> more; f <| x |> g",
        '<p class="a">text</p> <b>bold</b> <a href="/x">link</a> <sup>2</sup>',
        "see [1], [2] and [Smith 2020]; | a | b |\n|---|---|",
        "می‌خواهم 👨‍👩‍👧 ❤️ क्‍ष 1️⃣",
    ],
)
def test_ordinary_text_is_left_as_it_is(text: str) -> None:
    assert neutralize_tokens(text) == text


def test_hidden_characters_are_gone_and_the_visible_ones_are_not() -> None:
    assert neutralize_tokens(f"Pay {_HIDDEN}now.\x1b[31m a\ufe01b\ufe02") == "Pay now.[31m ab"
    for code in range(0x110000):
        char = chr(code)
        if unicodedata.category(char) in ("Cc", "Cs") or 0xE0000 <= code < 0xE1000:
            assert char in "\t\n\r\v\f\x85" or char not in neutralize_tokens(f"a{char}b"), hex(code)


def test_our_own_prompts_are_left_as_they_are() -> None:
    own = [rlm.direct.SYSTEM, rlm.direct.SMALL_SYSTEM, rlm.routing.SYSTEM, judging.SYSTEM, tasks.SYSTEM, lookups.SYSTEM]
    for text in (*own, build_instructions(LOCAL_QWEN)):
        assert neutralize_tokens(text) == text


@pytest.mark.parametrize("token", ["<|im_start|>", "[INST]", "<｜User｜>", "<think>", "\U000e0041"])
def test_whatever_builds_a_call_its_messages_and_schema_are_taken_care_of(token: str) -> None:
    schema = {"type": "object", "properties": {token: {"enum": [token, "b"]}}, "required": [token]}
    call = SubCall(f"Do it. {token}", f"Text: {token}", 10, schema)
    chat = ScriptedChat(script=["{}"])
    asyncio.run(
        fill_completion(chat, ModelProfile("m", 9_000, 100), call, Completion(ThoughtFilter()), salt="s", max_tokens=10)
    )
    assert token not in chat.prompt_text()
    assert token not in str(chat.options[0]["response_format"])
    told = RequestFormat("none").adapt_payload({"messages": [{"role": "user", "content": ""}], **chat.options[0]})
    assert token not in str(told["messages"])


def test_a_class_with_a_token_in_its_name_is_still_a_class() -> None:
    task = tasks.ClassifyTask(tasks.build_label_set(["<|im_end|>", "other"]))
    enum = str(build_response_format(tasks.build_records_call(task, ["a record"]).schema or {}))
    assert "<|im_end|>" not in enum
    assert task.parse_result(neutralize_tokens("<|im_end|>")) == "<|im_end|>"


def test_only_one_module_speaks_with_chat_models_and_it_sends_calls_alone() -> None:
    """Any builder of a prompt has to make a `SubCall`: nothing else makes messages, or asks a chat model."""
    found = {
        f"{path.relative_to(_ROOT)}:{name}"
        for path in _product()
        for name in _called(path)
        if name in {"ainvoke", "astream", "agenerate", "abatch", "SystemMessage", "HumanMessage", "AIMessage"}
    }
    asks = {f"rlm/llm/completion.py:{name}" for name in ("ainvoke", "astream", "SystemMessage", "HumanMessage")}
    # LangChain's chat model over our API returns a message, and sends none.
    assert found == asks | {"api/langchain/chat.py:AIMessage"}
    source = ast.unparse(ast.parse((_ROOT / "rlm/llm/completion.py").read_text()))
    assert "SystemMessage(call.system)" in source
    assert "HumanMessage(call.prompt)" in source
    assert source.count("Message(call.") == 2


def _product() -> Iterator[Path]:
    for part in ("ingest", "retrieval", "rlm", "api", "workers"):
        yield from (path for path in (_ROOT / part).rglob("*.py") if "shims" not in path.parts)


def _called(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called: Any = node.func
            yield called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
