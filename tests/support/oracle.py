"""A model that reads without error: it answers prompts about a task's documents from the task's own gold.

    python -m tests.support.oracle FOLDER [--port N]

serves it in the OpenAI protocol, for any system that is to be measured without a model's weakness in the way. It knows
what it is shown and nothing else: a record's label when the record is in the prompt, an answer when the sentence that
says so is. As a root model it programs without error too (`oracle_programs`).
"""

import argparse
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retrieval.model_text import neutralize_tokens
from rlm.direct import SYSTEM as DIRECT
from tests.benchmark.tasks.folder import Question, TaskFolder
from tests.support.oracle_programs import COPY, LABEL, NOT_THERE, next_program
from tests.support.scripted_openai import ScriptedOpenAI, scripted_openai

WINDOW_TOKENS = 1_000_000
MODEL = "oracle"
# What the service has to know of it.
PROFILE = f"""[models.{MODEL}]
context_tokens = {WINDOW_TOKENS}
max_output_tokens = 32000
batch_items = 1000
parallel_calls = 4
writes_code = true
"""

_INSTANCE = re.compile(r"\|\| Instance: (.+)$")
_NUMBERED = re.compile(r"^(\d+)\. (.*)$", re.MULTILINE)
_BEGIN_RECORDS, _END_RECORDS = "BEGIN records", "END records"
_PASSAGE = re.compile(r"^BEGIN passage (\d+) [^\n]*$(.*?)^END passage \1 ", re.MULTILINE | re.DOTALL)
_SENTENCE = re.compile(r"^(\d+)\. ", re.MULTILINE)


class Oracle:
    """Replies to the prompts of root models, readers, sorters and judges."""

    def __init__(self, folder: TaskFolder) -> None:
        self._questions = folder.questions()
        self._sentences = _evidence_sentences(folder, self._questions)
        self._labels = {hash(instance): label for instance, label in labelled_instances(folder)}

    def reply(self, body: dict[str, Any]) -> str:
        """What to say to a chat completion's request."""
        messages = [str(message["content"]) for message in body["messages"]]
        prompt = "\n".join(messages)
        program = next_program(messages, self._asked(prompt))
        if program is not None:
            return program
        if LABEL in prompt:
            return "\n".join(self._label(line) for line in prompt.split(LABEL)[1].strip().splitlines())
        if COPY in prompt:
            return "\n".join(self._bearing(prompt)) or "NONE"
        if messages[0] == DIRECT:
            return self._directly(prompt)
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema") or {}
        properties: dict[str, Any] = schema.get("properties", {})
        if "verdicts" in properties:
            return json.dumps({"verdicts": self._verdicts(prompt)})
        if properties and all(name.isdigit() for name in properties):
            return json.dumps(self._sorted(prompt, properties))
        return self._answer(prompt) or NOT_THERE

    def _label(self, record: str) -> str:
        """The label of a record, given whole or as its instance alone; "none" for a text that is no record."""
        found = _INSTANCE.search(record)
        return self._labels.get(hash((found[1] if found else record).strip()), "none")

    def _sorted(self, prompt: str, properties: dict[str, Any]) -> dict[str, str]:
        """The label of each numbered record."""
        start = prompt.rindex(_BEGIN_RECORDS)
        records = dict(_NUMBERED.findall(prompt[start : prompt.index(_END_RECORDS, start)]))
        return {number: self._label(records[number]) for number in properties}

    def _verdicts(self, prompt: str) -> list[dict[str, object]]:
        """Every sentence is supported where the answer is right, and what it cites is shown."""
        support = "supported" if self._answer(prompt) else "not_supported"
        listed = prompt[prompt.rindex("Sentences, in the order") :]
        return [{"sentence": int(each), "support": support, "reason": ""} for each in _SENTENCE.findall(listed)]

    def _directly(self, prompt: str) -> str:
        """The answer with the passages that show its evidence; that they do not say, where a part of it is missing."""
        answer, passages = self._answer(prompt), _PASSAGE.findall(prompt)
        if answer is None:
            return f'{NOT_THERE}\n<support answered="no">\n</support>'
        quotes = {each: number for each in self._bearing(prompt) for number, text in passages if each in text}
        markers = "".join(f"[{number}]" for number in dict.fromkeys(quotes.values()))
        lines = "\n".join(f'[{number}] "{" ".join(quote.split()[:25])}"' for quote, number in quotes.items())
        return f'{answer} {markers}.\n<support answered="yes">\n{lines}\n</support>'

    def _bearing(self, prompt: str) -> list[str]:
        """The evidence that the prompt shows."""
        question = self._asked(prompt)
        return [each for each in self._sentences[question.id] if each in prompt] if question else []

    def _answer(self, prompt: str) -> str | None:
        """The gold, if the prompt shows all of its evidence."""
        question = self._asked(prompt)
        if question is None or not question.answerable:
            return None
        shown = self._sentences[question.id]
        return question.gold[0] if shown and all(each in prompt for each in shown) else None

    def _asked(self, prompt: str) -> Question | None:
        """The question in a prompt: as it was asked, or as our own prompts have it, without chat templates' tokens."""
        return next(
            (each for each in self._questions if each.text in prompt or neutralize_tokens(each.text) in prompt), None
        )


def _evidence_sentences(folder: TaskFolder, questions: list[Question]) -> dict[str, list[str]]:
    """By question; each document is read once."""
    texts: dict[str, str] = {}
    sentences: dict[str, list[str]] = {question.id: [] for question in questions}
    for question in questions:
        for span in question.evidence:
            if span.document not in texts:
                texts[span.document] = (folder.documents / span.document).read_text("utf-8")
            sentences[question.id].append(texts[span.document][span.start : span.end])
    return sentences


def labelled_instances(folder: TaskFolder) -> Iterator[tuple[str, str]]:
    """The text of each record of a folder, and the label it hides, in the order of the document."""
    if not folder.records.exists():
        return
    with (folder.documents / "records.txt").open(encoding="utf-8") as lines:
        instances = (found[1].strip() for line in lines if (found := _INSTANCE.search(line)) and line[:5] == "Date:")
        for instance, record in zip(instances, folder.read_records(), strict=True):
            yield instance, record["label"]


@contextmanager
def oracle_server(folder: TaskFolder) -> Iterator[ScriptedOpenAI]:
    """An oracle over a folder on loopback."""
    with scripted_openai(Oracle(folder).reply, window_tokens=WINDOW_TOKENS, keeps_requests=False) as server:
        yield server


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve an oracle over a task's folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    oracle = Oracle(TaskFolder(options.folder))
    with ScriptedOpenAI(oracle.reply, window_tokens=WINDOW_TOKENS, port=options.port, keeps_requests=False) as server:
        print(f'LEADLINE_LLM="{server.url} {MODEL}", and in a file that LEADLINE_MODEL_PROFILES names:\n{PROFILE}')
        server.serve_forever()


if __name__ == "__main__":
    main()
