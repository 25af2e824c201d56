"""Checks the format of a reply, and repeats the call once if the format is wrong."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NoReturn

from ingest.storage.counts import format_count
from rlm.errors import LanguageModelOutputError, LanguageModelRefusedError
from rlm.llm.port import SubCall
from rlm.llm.profiles import ModelProfile

_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*?)```", re.DOTALL)
_STARTS = re.compile(r"[{\[]")
_MAX_STARTS = 20
_RETRY_PROMPT = "An earlier reply was rejected. {reason} Reply again, in the requested form and with nothing else."


def canonicalize_schema(schema: Mapping[str, Any]) -> str:
    """Serialize a schema, so that equal schemas give equal strings.

    Fields stay in their original order, because models follow it.
    """
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


def build_closed_object(properties: Mapping[str, object]) -> dict[str, object]:
    """Return the schema of an object with exactly the given fields, all of them required."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def build_response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `response_format` of a request for JSON that follows this schema.

    It is `strict` if OpenAI accepts the schema as strict.
    """
    return {
        "type": "json_schema",
        "json_schema": {"name": "reply", "schema": schema, "strict": _is_closed_schema(schema)},
    }


def describe_schema(schema: Mapping[str, Any]) -> str:
    """Describe the schema in words, for servers that do not enforce schemas."""
    return f"Reply with JSON only, which follows this JSON schema:\n{canonicalize_schema(schema)}"


def extract_reply(raw_text: str, text: str, finish_reason: str, call: SubCall) -> str:
    """Return the content of a reply: the text without thoughts, or JSON that follows the call's schema.

    Raises `LanguageModelOutputError` if the reply is empty, is not JSON or does not follow the schema. Text that was
    cut off at the token limit is accepted, and so is JSON that was complete before the limit was reached.
    """
    if finish_reason == "content_filter":
        raise LanguageModelRefusedError(
            "The server's content filter stopped the reply.", hint="Remove the text that the filter rejects."
        )
    try:
        if call.schema is not None:
            return _extract_json(raw_text, text, call.schema)
        if not text.strip():
            raise LanguageModelOutputError("The reply was empty.")
        return text
    except LanguageModelOutputError as error:
        if finish_reason != "length":
            raise
        cut = f"The reply was cut off at its limit of {format_count(call.max_tokens, 'token')}."
        raise LanguageModelOutputError(cut, cut_off=True) from error


def build_retry_call(call: SubCall, error: LanguageModelOutputError, profile: ModelProfile) -> SubCall | None:
    """Return a call that may fix `error`, or None if another call would not help.

    The new call allows more tokens, or describes the fault. The description uses only words from the schema, which a
    server may have ignored. It never uses words from the reply, which may contain a document's text.
    """
    if not error.cut_off:
        words = [call.prompt, _RETRY_PROMPT.format(reason=error.detail)]
        if call.schema is not None:
            words.append(describe_schema(call.schema))
        return replace(call, prompt="\n\n".join(words))
    room = min(2 * call.max_tokens, profile.max_output_tokens)
    return replace(call, max_tokens=room) if room > call.max_tokens else None


def require_valid_schema(schema: Mapping[str, Any]) -> None:
    """Raise `LanguageModelRefusedError` for an invalid JSON schema."""
    from rlm.llm.json_schemas import compile_schema

    compile_schema(canonicalize_schema(schema))


def _extract_json(raw_text: str, text: str, schema: Mapping[str, Any]) -> str:
    from rlm.llm.json_schemas import compile_schema, find_violation

    if not text.strip():
        raise LanguageModelOutputError("The reply was empty.")
    validator = compile_schema(canonicalize_schema(schema))
    reason = ""
    for candidate, value in _iter_json_candidates(raw_text, text):
        found = find_violation(validator, value)
        if found is None:
            return candidate
        reason = reason or found
    raise LanguageModelOutputError(f"The reply does not follow the JSON schema: {reason or 'it is not JSON'}.")


def _iter_json_candidates(raw_text: str, text: str) -> Iterator[tuple[str, object]]:
    """Yield possible JSON values of the reply: the whole reply, a fenced block, or text that starts at a bracket.

    `raw_text` is used only if all of it is JSON, because thoughts may contain drafts.
    """
    for whole in (raw_text, text, *_FENCED.findall(text)):
        try:
            yield whole.strip(), _DECODER.decode(whole.strip())
        except (ValueError, RecursionError):
            continue
    for number, start in enumerate(_STARTS.finditer(text)):
        if number == _MAX_STARTS:
            return
        try:
            value, end = _DECODER.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        yield text[start.start() : end], value


def _is_closed_schema(schema: object) -> bool:
    """Return whether every object in the schema requires all of its fields and allows no others."""
    if isinstance(schema, list):
        return all(map(_is_closed_schema, schema))
    if not isinstance(schema, Mapping):
        return True
    if schema.get("type") == "object":
        closed = schema.get("additionalProperties") is False
        if not closed or set(schema.get("properties", ())) != set(schema.get("required", ())):
            return False
    return all(map(_is_closed_schema, schema.values()))


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(strict=False, parse_constant=_reject_constant)
