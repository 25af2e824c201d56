"""Learns which request features a server rejects.

Rejected features are detected on first use, remembered for the life of the process, and then avoided. If the error
names a parameter or the `system` role, that part of the request is changed and the request is sent again. If this
succeeds, the change is remembered. If the error names nothing, the schema is the usual cause, and schema support is
lowered by one level: `json_schema`, `json_object`, none.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rlm.llm.profiles import StructuredOutput
from rlm.llm.structured_output import describe_schema

# Parameters that every request needs. If an error names one of these parameters, the server rejects its value, not the
# parameter.
_REQUIRED_PARAMETERS = frozenset({"model", "messages", "stream", "max_tokens"})
_STEP_DOWN: Mapping[StructuredOutput, StructuredOutput] = {"json_schema": "json_object", "json_object": "none"}


@dataclass(frozen=True)
class RequestFormat:
    """The request format for one server: its level of schema support, and the parameters that it rejects."""

    structured_output: StructuredOutput = "json_schema"
    left_out: frozenset[str] = frozenset()
    old_max_tokens: bool = False
    without_system: bool = False

    def adapt_payload(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return the request in this format."""
        fitted = {name: value for name, value in payload.items() if name not in self.left_out}
        if extra := payload.get("extra_body"):
            fitted["extra_body"] = {name: value for name, value in extra.items() if name not in self.left_out}
        if self.old_max_tokens and "max_completion_tokens" in fitted:
            fitted["max_tokens"] = fitted.pop("max_completion_tokens")
        wanted = fitted.get("response_format")
        if wanted is not None and self.structured_output != "json_schema":
            fitted["messages"] = _insert_instructions(
                fitted["messages"], describe_schema(wanted["json_schema"]["schema"])
            )
            del fitted["response_format"]
            if self.structured_output == "json_object":
                fitted["response_format"] = {"type": "json_object"}
        if self.without_system:
            fitted["messages"] = _merge_system_message(fitted["messages"])
        return fitted

    def revise_after_rejection(
        self, rejection: Mapping[str, Any] | str, payload: Mapping[str, Any]
    ) -> "RequestFormat | None":
        """Return the format to try after a rejection with this body, or None if no other format is left to try."""
        sent = self.adapt_payload(payload)
        named = _find_named_parameter(
            rejection, {*sent, *sent.get("extra_body", {})} - {"extra_body"} | {"stream_options"}
        )
        if named == "max_completion_tokens":
            return None if self.old_max_tokens else replace(self, old_max_tokens=True)
        if named == "messages" and _has_word(rejection, "system") and not self.without_system:
            return replace(self, without_system=True)
        if named in _REQUIRED_PARAMETERS:
            return None
        if named in (None, "response_format"):
            lower = _STEP_DOWN.get(self.structured_output) if "response_format" in sent else None
            return replace(self, structured_output=lower) if lower else None
        return replace(self, left_out=self.left_out | {named})

    def __str__(self) -> str:
        """Describe the changes to requests, or return an empty string if there are none."""
        changes = [f"no {name}" for name in sorted(self.left_out)]
        if self.structured_output != "json_schema":
            changes.append("schemas in words" + " (json_object)" * (self.structured_output == "json_object"))
        changes += ["max_tokens for max_completion_tokens"] * self.old_max_tokens
        changes += ["no system messages"] * self.without_system
        return ", ".join(changes)


class ServerCapabilities:
    """The request features that one server is known to reject.

    If the server has accepted some schemas before, a rejected schema changes nothing for others.
    """

    def __init__(self, structured_output: StructuredOutput = "json_schema") -> None:
        self.accepted = RequestFormat(structured_output)
        self._took_a_schema = False

    def record_format(self, first_format: RequestFormat, accepted_format: RequestFormat, *, with_schema: bool) -> None:
        """Record that a request was first sent in `first_format` and was answered in `accepted_format`."""
        known = self.accepted
        structured_output = known.structured_output
        if with_schema and accepted_format.structured_output == "json_schema":
            self._took_a_schema = True
        elif accepted_format.structured_output != first_format.structured_output and not self._took_a_schema:
            structured_output = accepted_format.structured_output
        self.accepted = RequestFormat(
            structured_output,
            known.left_out | accepted_format.left_out,
            known.old_max_tokens or accepted_format.old_max_tokens,
            known.without_system or accepted_format.without_system,
        )


def _find_named_parameter(rejection: Mapping[str, Any] | str, names: Collection[str]) -> str | None:
    """Return the first of `names` that an error names as its parameter, or else mentions in its message.

    The name `model` is checked last, because of messages such as "This model does not take …".
    """
    for said in _iter_error_strings(rejection):
        places = ((name in _REQUIRED_PARAMETERS, re.search(rf"\b{re.escape(name)}\b", said), name) for name in names)
        if found := [(needed, at.start(), name) for needed, at, name in places if at]:
            return min(found)[-1]
    return None


def _iter_error_strings(rejection: Mapping[str, Any] | str) -> Iterator[str]:
    """Yield the parameter (OpenAI), the locations (FastAPI) and the message in an error body, most reliable first."""
    if isinstance(rejection, str):
        yield rejection
        return
    yield str(rejection.get("param") or "")
    details = rejection.get("detail")
    yield (
        " ".join(str(each.get("loc")) for each in details if isinstance(each, dict))
        if isinstance(details, list)
        else str(details or "")
    )
    yield str(rejection.get("message") or "")


def _has_word(rejection: Mapping[str, Any] | str, word: str) -> bool:
    return any(re.search(rf"\b{word}\b", said, re.IGNORECASE) for said in _iter_error_strings(rejection))


def _insert_instructions(messages: list[dict[str, Any]], instructions: str) -> list[dict[str, Any]]:
    """Insert `instructions` before the data, so that requests still have a common prefix."""
    first, *rest = messages
    if first["role"] == "user":
        return [{"role": "system", "content": instructions}, *messages]
    return [{**first, "content": f"{first['content']}\n\n{instructions}"}, *rest]


def _merge_system_message(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    first, *rest = messages
    if first["role"] == "user" or not rest:
        return messages
    return [{**rest[0], "content": f"{first['content']}\n\n{rest[0]['content']}"}, *rest[1:]]
