"""A scripted model that answers known questions, and only where the passage that holds the answer was read.

It requests the listed passages if those that are shown do not hold the answer.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.scripted_openai import follow_schema, wanted_members

_PASSAGE = re.compile(r"^BEGIN passage (\d+)", re.MULTILINE)
_LISTED = re.compile(r"^\[(\d+)\]", re.MULTILINE)


@dataclass(frozen=True)
class Fact:
    """An answer in one sentence, and the words of a document that it rests on, as they stand there."""

    answer: str
    quote: str


@dataclass(frozen=True)
class CarefulReader:
    """Replies as a capable model would: `facts` answers passage questions, `plans` has the table plan of others."""

    facts: Mapping[str, Fact]
    plans: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __call__(self, request: dict[str, Any]) -> str:
        members = wanted_members(request)
        prompt = str(request["messages"][-1]["content"])
        plan = next((made for question, made in self.plans.items() if question in prompt), None)
        if "strategy" in members:
            return json.dumps({"why": "It fits.", "strategy": "table" if plan else "direct", "queries": []})
        if "sql" in members:
            return json.dumps(plan)
        if "verdicts" in members:
            return json.dumps({"verdicts": [{"sentence": 1, "support": "supported", "reason": "It says so."}]})
        return follow_schema(request) if members else self._written(prompt)

    def _written(self, prompt: str) -> str:
        fact = next((fact for question, fact in self.facts.items() if question in prompt), Fact("", "\0"))
        found = re.search(r"\s+".join(map(re.escape, fact.quote.split())), prompt)
        if found is None and "<more" in prompt and (listed := _LISTED.findall(prompt)):
            return f'<more open="{" ".join(listed)}"></more>'
        if found is None:
            return 'The documents do not say.\n<support answered="no">\n</support>'
        number = _PASSAGE.findall(prompt[: found.start()])[-1]
        sentence = f"{fact.answer.removesuffix('.')} [{number}]."
        return f'{sentence}\n<support answered="yes">\n[{number}] "{found[0]}"\n</support>'
