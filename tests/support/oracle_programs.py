"""Programs of a root model that makes no mistake, in our language and in those of two peers.

About facts it has all text read, slice by slice, for the sentences that bear on the question, and concludes from these.
About records it has each of them labelled and computes the answer. The same plan for all, so that tokens, calls and
seconds can be compared; peers have one text instead of documents, and no tool that labels records.
"""

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass

from rlm.loop.prompts import load_rules
from tests.benchmark.tasks import programs
from tests.benchmark.tasks.folder import Question
from tests.benchmark.tasks.labels import LABEL_SETS, label_set

COPY = "Copy every sentence that bears on the question, each on a line of its own; NONE if there is none."
LABEL = "Label each line below, a label a line.\n"
NOT_THERE = "The documents do not say."

# A slice begins a little before the end of the one before, for the sentence across the cut.
_READ_OURS = """
spans = []
while page := outline(offset=len(spans)):
    spans += page
packs, room = [], 0
for document in spans:
    for at in range(0, document["end"], 100000):
        span = {"document": document["document"], "start": max(0, at - 1000), "end": min(at + 100000, document["end"])}
        if span["end"] - span["start"] > room:
            packs.append([])
            room = 203000
        packs[-1].append(span)
        room -= span["end"] - span["start"]
notes = {}
for first in range(0, len(packs), 8):
    some = packs[first:first + 8]
    texts = [read(pack) for pack in some]
    prompts = [task + "\\nQuestion: " + question + "\\nText:\\n" + "\\n\\n".join(each) for each in texts]
    for pack, parts, said in zip(some, texts, llm_query_batched(prompts)):
        for line in said.splitlines():
            for span, text in zip(pack, parts):
                if line in text:
                    notes[line] = {**span, "quote": line}
print("All was", "read:", len(notes), "sentences from", len(packs), "slices")
"""
_READ_PEERS = """
starts = range(0, len(context), 199000)
prompts = [task + "\\nQuestion: " + question + "\\nText:\\n" + context[max(0, at - 1000):at + 199000] for at in starts]
notes = {line: True for said in llm_query_batched(prompts) for line in said.splitlines() if line != "NONE"}
print("All was", "read:", len(notes), "sentences from", len(prompts), "slices")
"""
_CONCLUDE = """
said = not_there
if notes:
    said = llm_query("Question: " + question + "\\n" + "\\n".join(notes) + "\\nAnswer from these sentences.")
"""
_SUBMIT_OURS = """
if said == not_there:
    submit(said, found=False)
else:
    submit("".join([said, " ", "".join("[" + str(n) + "]" for n in range(1, len(notes) + 1))]), list(notes.values()))
"""
# A cell's code has a limit of time, so no cell goes through more than some slices.
_LABEL_OURS = """
(document,) = outline()
rows, at = [], 0
"""
_LABEL_MORE_OURS = """
for _ in range(4):
    end = min(document["end"], at + 1500000)
    lines = records({"document": document["document"], "start": at, "end": end}, by="line")
    at = end if end == document["end"] else lines.pop()["start"]
    texts = read(lines)
    dated = [n for n, text in enumerate(texts) if text.startswith("Date: ")]
    for n, label in zip(dated, classify([lines[n] for n in dated], labels)):
        rows.append({"label": label, "user": texts[n][28:33], "date": texts[n][6:18]})
    if at == document["end"]:
        unlabelled = len([row for row in rows if row["label"] is None])
        print("All was", "read:", len(rows), "records,", unlabelled, "unlabelled")
        break
"""
_LABEL_PEERS = """
lines = [line for line in context.split("\\n") if line.startswith("Date: ")]
starts = range(0, len(lines), 1000)
prompts = ["Labels: " + labels + "\\n" + label_task + "\\n".join(lines[at:at + 1000]) for at in starts]
found = [label for said in llm_query_batched(prompts) for label in said.splitlines()]
rows = [{"label": label, "user": line[28:33], "date": line[6:18]} for line, label in zip(lines, found)]
print("All was", "read:", len(rows), "records,", len(found), "labels")
"""
# DSPy shows a root no more than the beginning of a question.
_SHOW = "print(question)"


@dataclass(frozen=True)
class Dialect:
    """How a system has its root model write code: what its instructions say, and what ends the run with `said`."""

    instructions: str
    reply: str
    submit: str
    computed: str
    is_ours: bool = False


OURS = Dialect(
    load_rules()[:200],
    "```python\n{}\n```",
    _SUBMIT_OURS,
    'submit(compute(kind, question, rows), computed="a model labelled each record, and code counted them")',
    is_ours=True,
)
RLMS = Dialect(
    "You are a Recursive Language Model",
    "```repl\n{}\n```",
    'answer["content"] = said\nanswer["ready"] = True',
    'answer["content"] = compute(kind, question, rows)\nanswer["ready"] = True',
)
DSPY = Dialect(
    "You have access to a Python REPL environment.",
    "[[ ## reasoning ## ]]\nThe next step.\n\n[[ ## code ## ]]\n```python\n{}\n```\n\n[[ ## completed ## ]]",
    "SUBMIT(said)",
    "SUBMIT(compute(kind, question, rows))",
)


def next_program(messages: Sequence[str], question: Question | None) -> str | None:
    """The next reply of a root model; None for prompts that are none of a root's."""
    prompt = "\n".join(messages)
    dialect = next((each for each in (OURS, RLMS, DSPY) if each.instructions in messages[0]), None)
    if dialect is None:
        return None
    if dialect is DSPY and question is None and _SHOW not in prompt:
        return dialect.reply.format(_SHOW)
    done = "All was read:" in prompt
    over_records = question is not None and not question.evidence and question.answerable
    if over_records:
        assert question is not None
        return dialect.reply.format(_computing(question, dialect) if done else _labelling(question, dialect, prompt))
    text = question.text if question else "?"
    reading = f"question, task, not_there = {json.dumps(text)}, {COPY!r}, {NOT_THERE!r}\n"
    reading += _READ_OURS if dialect.is_ours else _READ_PEERS
    return dialect.reply.format(_CONCLUDE + dialect.submit if done else reading)


def _labelling(question: Question, dialect: Dialect, prompt: str) -> str:
    found = next(each for each in map(label_set, LABEL_SETS) if each.definitions() in question.text)
    labels = {label.name: label.definition for label in found.labels}
    if dialect.is_ours:
        begun = "" if _LABEL_OURS.strip() in prompt else f"labels = {json.dumps(labels)}\n{_LABEL_OURS}"
        return begun + _LABEL_MORE_OURS
    return f"labels, label_task = {json.dumps(found.definitions())}, {LABEL!r}\n{_LABEL_PEERS}"


def _computing(question: Question, dialect: Dialect) -> str:
    source = inspect.getsource(programs)
    return f"{source}\nkind, question = {question.kind!r}, {json.dumps(question.text)}\n{dialect.computed}"
