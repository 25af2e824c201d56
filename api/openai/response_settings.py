"""Settings of a request for a response: members that are checked and repeated in every reply to the request."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from api.openai.asked import LenientModel
from api.openai.limits import ResponseLimit

MetadataIn = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]
# Values of members that a request omitted.
_DEFAULTS: Mapping[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "model": "leadline",
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "top_logprobs": 0,
    "top_p": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "truncation": "disabled",
    "user": None,
}


class SettingsIn(LenientModel):
    """Members of a request that control how a model writes. They are checked and repeated.

    Only `max_output_tokens` has an effect: it limits the text that is sent, but not the work of the models. Answers
    come from the documents and are always written in the same way.
    """

    instructions: str | list[dict[str, Any]] | None = None
    max_output_tokens: ResponseLimit | None = None
    max_tool_calls: int | None = Field(None, ge=1)
    metadata: MetadataIn | None = None
    parallel_tool_calls: bool = True
    prompt_cache_key: str | None = Field(None, max_length=64)
    safety_identifier: str | None = Field(None, max_length=64)
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_logprobs: int | None = Field(None, ge=0, le=20)
    top_p: float | None = Field(None, ge=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    truncation: Literal["auto", "disabled"] | None = None
    user: str | None = Field(None, max_length=512)


def build_repeated_members(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that a response repeats, with a default for each member that the request omitted.

    There is only one service tier, which is `default`.
    """
    given = {name: default if request.get(name) is None else request[name] for name, default in _DEFAULTS.items()}
    return {**given, "service_tier": "default"}
