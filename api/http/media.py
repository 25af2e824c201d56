"""Bodies that are no JSON, as the OpenAPI document describes them."""

from collections.abc import Mapping
from typing import Any

OCTETS = "application/octet-stream"
# `format: binary` is how generators of clients recognize a file, also where OpenAPI 3.1 would use `contentMediaType`.
_BINARY = {"type": "string", "format": "binary"}


def describe_file_body(media_type: str = OCTETS) -> dict[str, Any]:
    """Describe a body that is a file, as a request's or a response's `content`."""
    return {media_type: {"schema": _BINARY}}


def describe_form(fields: Mapping[str, Any], *, file: str, is_list: bool = False) -> dict[str, Any]:
    """Describe a multipart form with a required field `file`, or a list of files, and other fields."""
    files = {"type": "array", "items": _BINARY} if is_list else _BINARY
    schema = {"type": "object", "properties": {file: files, **fields}, "required": [file]}
    return {"multipart/form-data": {"schema": schema}}


def describe_request(*contents: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a request's required body, whose content type is one of `contents`, for `openapi_extra`."""
    return {
        "requestBody": {"required": True, "content": {kind: each for one in contents for kind, each in one.items()}}
    }
