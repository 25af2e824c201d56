"""A model that reads without error: it answers prompts about a benchmark's documents from the benchmark's own gold.

    python -m tests.support.oracle FOLDER [--port N]

serves it in the OpenAI protocol, for any system that is to be measured without a model's weakness in the way. It knows
what it is shown and nothing else: a record's label when the record is in the prompt, an answer when the sentence that
says so is. As the root of a run it has all documents read, slice by slice, for the sentences that bear on the question.
"""

import argparse
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rlm.loop.prompts import SYSTEM
from tests.benchmark.tasks.corpus import BenchmarkFolder, Question
from tests.support.scripted_openai import ScriptedOpenAI

WINDOW_TOKENS = 1_000_000

_INSTANCE = re.compile(r"\|\| Instance: (.+)$")
_NUMBERED = re.compile(r"^(\d+)\. (.*)$", re.MULTILINE)
_BEGIN_RECORDS, _END_RECORDS = "BEGIN records", "END records"
_QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"")
_PROPOSED = re.compile(r"^Proposed answer: (.*)$", re.MULTILINE)
_NOT_THERE = "The documents do not say."
_COPY = "Copy every sentence that bears on the question, each on a line of its own."
# A slice is read from a little before it begins, for the sentence across the cut.
_READ_ALL = """```python
question, task = QUESTION, TASK
documents = []
while page := outline(None, len(documents)):
    documents += page
slices = []
for each in documents:
    for at in range(0, each["end"] - each["start"], 80000):
        slices.append({"document": each["document"], "start": max(0, at - 1000), "end": min(at + 80000, each["end"])})
notes = {}
for first in range(0, len(slices), 32):
    some = slices[first:first + 32]
    prompts = [task + "\\nQuestion: " + question + "\\nText:\\n" + read(each) for each in some]
    for each, said in zip(some, llm_query_batched(prompts)):
        for line in (said or "").splitlines():
            if line and line != "NONE":
                notes[line] = {**each, "quote": line}
print(len(notes), "sentences from", len(slices), "slices")
```"""
_CONCLUDE = """```python
answer = None
if notes:
    answer = llm_query("Question: " + question + "\\n" + "\\n".join(notes) + "\\nAnswer from these sentences.")
submit(None if answer == NOT_THERE else answer, list(notes.values()))
```"""


class Oracle:
    """Replies to the prompts of readers, sorters and judges; `calls` counts them."""

    def __init__(self, folder: BenchmarkFolder) -> None:
        self.calls = 0
        self._questions = folder.questions()
        self._sentences = _evidence_sentences(folder, self._questions)
        self._labels = _labels(folder)

    def reply(self, body: dict[str, Any]) -> str:
        """What to say to a chat completion's request."""
        self.calls += 1
        prompt = "\n".join(str(message["content"]) for message in body["messages"])
        if str(body["messages"][0]["content"]).startswith(SYSTEM):
            return self._program(prompt)
        if _COPY in prompt:
            return "\n".join(self._bearing(prompt)) or "NONE"
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema") or {}
        properties: dict[str, Any] = schema.get("properties", {})
        if "verdict" in properties:
            return json.dumps({"verdict": "right" if self._confirms(prompt) else "wrong"})
        if "quotes" in properties:
            return self._read(prompt)
        if properties and all(name.isdigit() for name in properties):
            return json.dumps(dict(self._judged(prompt, properties)))
        answer = self._answer(prompt)
        return answer if answer is not None else _NOT_THERE

    def label(self, record: str) -> str | None:
        """The label of a record, given whole or as its instance alone; None for a text that is none of them."""
        found = _INSTANCE.search(record)
        return self._labels.get(hash(" ".join((found[1] if found else record).split())))

    def _program(self, prompt: str) -> str:
        """The root's next cell; a question that the benchmark does not ask is not in these documents."""
        question = self._asked(prompt)
        if "\nCell 1:\n" not in prompt:
            text = question.text if question else "?"
            return _READ_ALL.replace("QUESTION", json.dumps(text)).replace("TASK", json.dumps(_COPY))
        return _CONCLUDE.replace("NOT_THERE", json.dumps(_NOT_THERE))

    def _bearing(self, prompt: str) -> list[str]:
        """The evidence that the prompt shows."""
        question = self._asked(prompt)
        return [each for each in self._sentences.get(question.id, ()) if each in prompt] if question else []

    def _judged(self, prompt: str, properties: dict[str, Any]) -> Iterable[tuple[str, str]]:
        """A label for each numbered record; where the choice is yes or no, whether the criterion names its label."""
        start = prompt.rindex(_BEGIN_RECORDS)
        records = dict(_NUMBERED.findall(prompt[start : prompt.index(_END_RECORDS, start)]))
        named = {one or other for one, other in _QUOTED.findall(prompt[:start])}
        for number, each in properties.items():
            label = self.label(records[number])
            choices: Sequence[str] = each["enum"]
            yield number, ("yes" if label in named else "no") if set(choices) == {"yes", "no"} else label or choices[0]

    def _read(self, prompt: str) -> str:
        quotes = self._bearing(prompt)
        answer = self._answer(prompt)
        if not quotes or answer is None:
            return json.dumps({"quotes": ["Nothing here."], "answer": _NOT_THERE})
        return json.dumps({"quotes": [self._located(quote, prompt) for quote in quotes[:3]], "answer": answer})

    def _located(self, quote: str, prompt: str) -> Any:  # noqa: ANN401 - as the schema has it
        """A quotation with its passage's number where several passages are shown."""
        numbers = re.findall(r"BEGIN passage (\d+) ", prompt[: prompt.index(quote)])
        several = len(re.findall(r"BEGIN passage \d+ ", prompt)) > 1
        return {"passage": int(numbers[-1]), "quote": quote} if several and numbers else quote

    def _answer(self, prompt: str) -> str | None:
        """The gold as far as the prompt shows its evidence: all of it for one answer, a part for a list."""
        question = self._asked(prompt)
        if question is None or not question.answerable:
            return None
        shown = [sentence in prompt for sentence in self._sentences[question.id]]
        if len(question.gold) == len(shown) > 1:
            values = [value for value, is_shown in zip(question.gold, shown, strict=True) if is_shown]
            return "; ".join(values) or None
        return question.gold[0] if shown and all(shown) else None

    def _confirms(self, prompt: str) -> bool:
        proposed = _PROPOSED.search(prompt)
        answer = self._answer(prompt)
        return bool(proposed and answer and answer.casefold() in proposed[1].casefold())

    def _asked(self, prompt: str) -> Question | None:
        return next((question for question in self._questions if question.text in prompt), None)


def _evidence_sentences(folder: BenchmarkFolder, questions: Sequence[Question]) -> dict[str, list[str]]:
    """By question; each document is read once."""
    texts: dict[str, str] = {}
    sentences: dict[str, list[str]] = {question.id: [] for question in questions}
    for question in questions:
        for span in question.evidence:
            if span.document not in texts:
                texts[span.document] = (folder.documents / span.document).read_text("utf-8")
            sentences[question.id].append(texts[span.document][span.start : span.end])
    return sentences


def _labels(folder: BenchmarkFolder) -> dict[int, str]:
    """By the hash of the instance's text, which keeps ten million tokens of records small."""
    if not folder.records.exists():
        return {}
    return {hash(" ".join(instance.split())): label for instance, label in labelled_instances(folder)}


def labelled_instances(folder: BenchmarkFolder) -> Iterator[tuple[str, str]]:
    """The text of each record of a benchmark folder, and the label it hides, in the order of the document."""
    with (folder.documents / "records.txt").open(encoding="utf-8") as lines:
        instances = (found[1] for line in lines if (found := _INSTANCE.search(line.rstrip("\n"))))
        for instance, record in zip(instances, folder.read_records(), strict=True):
            yield instance, record["label"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve an oracle over a benchmark folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    oracle = Oracle(BenchmarkFolder(options.folder))
    with ScriptedOpenAI(oracle.reply, window_tokens=WINDOW_TOKENS, port=options.port, keeps_requests=False) as server:
        print(f'LEADLINE_LLM="{server.url} oracle"', flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
