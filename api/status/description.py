"""The OpenAPI document: FastAPI's, completed for programs that generate clients of it."""

import gzip
import json
from functools import cached_property
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from api.admission.idempotency import MAX_KEY_CHARS, accepts_idempotency_key
from api.http.problem_schemas import PROBLEMS, build_problem_components

TAGS = [
    {"name": name, "description": description}
    for name, description in (
        ("documents", "Upload, list, read, change and delete documents."),
        ("batches", "Upload many documents and follow them together."),
        ("collections", "Sets of documents, and the access of users and groups to them."),
        ("search", "Find passages."),
        ("answers", "Ask questions, and read the checked answers."),
        ("conversations", "Questions that continue each other."),
        ("shares", "Links with which colleagues read a conversation."),
        ("runs", "Questions that are answered in the background."),
        ("feedback", "What readers think of answers."),
        ("openai", "OpenAI's protocols: chat completions, responses, files and vector stores."),
        ("sources", "Places that documents are synchronized from."),
        ("webhooks", "Events that are sent to a URL of yours."),
        ("usage", "Usage and quotas."),
        ("keys", "API keys."),
        ("users", "Users and groups."),
        ("tenants", "Tenants, for the operator of the service."),
        ("sessions", "Browser sessions."),
        ("settings", "The settings in force."),
        ("slack", "The state of the Slack bot."),
        ("audit", "The log of what callers did."),
        ("health", "Liveness, readiness, metrics, and explanations of problems."),
    )
]
_KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS},
    "description": "A repeated request with the same key gets the original response (`Idempotent-Replayed: true`). "
    "`422` for a different request, `409` while the first one is in progress.",
}


def get_operation_id(route: APIRoute) -> str:
    """Return the name of the route's function, because generated clients name their methods after it."""
    return route.name


class ApiDescription:
    """The OpenAPI document of an application. It is built once, because it depends only on the routes."""

    def __init__(self, app: FastAPI) -> None:
        self._build_plain_document = app.openapi

    @cached_property
    def document(self) -> dict[str, Any]:
        """The document, with the parts that FastAPI cannot know or would repeat in every operation."""
        document = self._build_plain_document()
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                # An operation without this member would be described as needing whatever the whole document needs.
                operation.setdefault("security", [])
                for status, problem in PROBLEMS.items():
                    operation["responses"][str(status)] = {"$ref": problem["$ref"]}
                if method == "post" and accepts_idempotency_key(path):
                    operation.setdefault("parameters", []).append(_KEY_PARAMETER)
        for kind, shared in build_problem_components().items():
            components = document["components"].setdefault(kind, {})
            components.update({name: shared[name] for name in shared.keys() - components.keys()})
        return document

    @cached_property
    def json(self) -> bytes:
        return json.dumps(self.document, separators=(",", ":"), ensure_ascii=False).encode()

    @cached_property
    def compressed_json(self) -> bytes:
        return gzip.compress(self.json, mtime=0)
