"""Describes what has a name on the wire: events, errors, jobs, fingerprints, MCP's offers and the portal's assets."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

from pydantic import BaseModel

from tests.surface.openapi import describe_schema, digest
from tests.surface.source import Source, find_arguments, find_keywords, find_texts


def describe_events(
    answers: Mapping[str, type[BaseModel]], webhooks: Iterable[str], sources: Sequence[Source]
) -> list[str]:
    """Describe the events of answers, followed objects, runs, OpenAI's streams and webhooks."""
    lines = ["Answers"]
    for name, kind in sorted(answers.items()):
        shape = kind.model_json_schema(mode="serialization")
        lines += [f"    {line}" for line in describe_schema(name, shape)]
    slack = [source for source in sources if ".slack" in source.module]
    own = [source for source in sources if source not in slack]
    followed = find_arguments(own, "format_event")
    runs = find_arguments(sources, "RunLogEntry", position=1) | find_keywords(sources, "build_call_entry", "kind")
    openai = find_texts(sources, "response.")
    return [
        *lines,
        *_list("Followed documents and batches, and what ends any stream", followed),
        *_list("Runs", runs),
        *_list("Responses", openai),
        *_list("Slack's, which the bot listens to", find_arguments(slack, "event")),
        *_list("Webhooks", webhooks),
    ]


def describe_errors(
    kinds: Iterable[Any], status_of: Callable[[Any], int], others: Iterable[tuple[int, str, str]] = ()
) -> list[str]:
    """Describe each code: its statuses, its classes, and the hint that clients get."""
    blocks = {(code, status, "(no class)", hint) for status, code, hint in others}
    for kind in kinds:
        made = kind.__new__(kind)  # by class alone: some are made with more than a sentence
        blocks.add((kind.code, status_of(made), kind.__name__, kind.default_hint))
    lines = []
    for code, status, name, hint in sorted(blocks):
        lines += [f"{code} {status} {name}", *([f"    {hint}"] if hint else [])]
    return lines


def describe_jobs(
    kinds: Iterable[Enum],
    queues: Mapping[Any, str],
    tasks: Mapping[str, str],
    celery: Mapping[str, Any],
    sources: Sequence[Source],
) -> list[str]:
    """Describe kinds of jobs with their queues, Celery's tasks with what they take, and keys in Redis."""
    keys = find_texts(sources, "leadline:changes") | find_keywords(sources, "RedisStorage", "key_prefix")
    return [
        *_list("Kinds of jobs", (f"{kind.value} in {queues.get(kind, 'no queue')}" for kind in kinds)),
        *_list("Queues", (queue.name for queue in celery["task_queues"])),
        *_list("Tasks", (f"{name}{takes}" for name, takes in tasks.items())),
        *_list("Routes", (f"{name} to {route['queue']}" for name, route in celery["task_routes"].items())),
        *_list("Keys in Redis", keys),
    ]


def describe_fingerprints(
    parsers: Mapping[str, str],
    formats: Mapping[str, Any],
    chunker: str,
    encoders: Iterable[tuple[str, str, int]],
    sparse: str,
) -> list[str]:
    """Describe what decides that a document is read, cut or encoded anew."""
    return [
        *_list("Parsers", (f"{name} {value}" for name, value in parsers.items())),
        *_list("Media types", (f"{kind} {each.fingerprint}" for kind, each in formats.items())),
        *_list("Chunker", [chunker]),
        *_list("Encoders", (f"{name} {fingerprint} {dimension}" for name, fingerprint, dimension in encoders)),
        *_list("Sparse encoder", [sparse]),
    ]


def describe_tools(tools: Iterable[Any], instructions: str) -> list[str]:
    """Describe MCP's tools: the scope that each needs, digests of its texts, and what it takes and gives."""
    lines = [f"instructions  # {digest(instructions)}"]
    for tool in sorted(tools, key=lambda tool: str(tool.name)):
        told = tool.definition
        lines.append(f"{tool.name} needs {tool.scope.value}  # {digest([told.title, told.description])}")
        lines.append(f"    hints {told.annotations.model_dump_json(exclude_none=True)}")
        for title, schema in (("takes", told.input_schema), ("gives", told.output_schema)):
            lines += [f"    {line}" for line in describe_schema(f"{title} {schema['title']}", schema)]
    return lines


def describe_offers(templates: Iterable[Any], prompts: Iterable[Any]) -> list[str]:
    """Describe MCP's resources and prompts: URIs and their types, blanks, the scope of each, digests of texts."""
    lines = []
    for kind in sorted(templates, key=lambda kind: str(kind.name)):
        told = digest([kind.title, kind.definition.description])
        lines.append(f"resource {kind.name} {kind.template} gives {kind.media_type}  # {told}")
    for prompt in sorted(prompts, key=lambda prompt: str(prompt.name)):
        lines.append(f"prompt {prompt.name} needs {prompt.scope.value}  # {digest([prompt.title, prompt.description])}")
        lines += [f"    {line}" for line in describe_schema("takes", prompt.takes.model_json_schema())]
    return lines


def _list(title: str, names: Iterable[str]) -> list[str]:
    return [title, *(f"    {name}" for name in sorted(names))]
