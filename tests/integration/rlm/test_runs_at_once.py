"""Eight runs at once in one process, of eight tenants with documents and budgets of their own, and nothing shared that
belongs to one of them: one scheduler, one cache of replies, one sandbox, one model."""

import asyncio
import re
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ingest.storage.documents.catalog import VisibleVersion
from ingest.storage.documents.filters import Conditions
from ingest.storage.documents.rows import ActiveDocument
from ingest.storage.tables.store import RecordTables
from ingest.storage.texts.texts import Texts
from retrieval.encoders.port import HashingEmbedder
from retrieval.search.search import Searcher
from rlm.answering import AnswerPipeline
from rlm.answers import Answer, AnswerStatus
from rlm.build import PipelineComponents
from rlm.checking.checker import CheckMode
from rlm.events import Completed
from rlm.llm.budgets import Limits
from rlm.llm.profiles import ModelProfile
from rlm.llm.scheduler import SubCallScheduler
from rlm.requests import AnswerOptions, AnswerRequest, AnswerScope, StrategyName
from rlm.runs.port import Durability
from rlm.sandbox.build import build_sandbox
from rlm.sandbox.port import SandboxIsolation
from rlm.tables.sql import SqlEngine
from tests.fakes.callable_chat import CallableChat
from tests.fakes.loaded_model import LoadedModel
from tests.fakes.memory_blobs import MemoryBlobs
from tests.fakes.memory_reply_cache import MemoryReplyCache
from tests.support.fixed_generation import FixedGeneration
from tests.support.memory_index import MemoryIndex

TENANTS = 8
PROFILE = ModelProfile("at-once", 32_000, 2_000, parallel_calls=TENANTS, writes_code=True, max_depth=0)
# The same names and the same first sub-call in each run, so that whatever is shared would be met.
LOOKS = """```python
try:
    print("left over:", found)
except NameError:
    print("nothing left over")
found = [hit["match"] for hit in grep("secret of [a-z]+ is [0-9]+")["hits"]]
documents = [each["title"] for each in outline()]
said = llm_query("Say it.")
print("saw", found, documents, said)
```"""
SPENDS = """```python
for number in range(NUMBER):
    llm_query(f"Say {number} again.")
print("still", found)
```"""
ENDS = """```python
submit(found[0], [found[0]])
```"""


class Tenants:
    """A catalog in which each tenant has one document, of the same title."""

    def list_active_documents(
        self,
        tenant_id: str,
        *,
        collections: Sequence[str],
        identifiers: Sequence[str],
        conditions: Conditions = (),
        readers: frozenset[str] | None = None,
        after: int,
    ) -> list[ActiveDocument]:
        size = len(text_of(tenant_id))
        return [] if after else [ActiveDocument(1, "d", f"v-{tenant_id}", "c", "t.txt", tenant_id, size, None, {})]

    def list_hidden_collections(self, tenant_id: str, readers: frozenset[str]) -> set[str]:
        return set()

    def has_access_lists(self, tenant_id: str) -> bool:
        return False

    def list_matching_documents(
        self, tenant_id: str, conditions: Conditions, *, document_ids: Collection[str] = (), limit: int | None = None
    ) -> list[str]:
        return []

    def load_corpus_version(self, tenant_id: str) -> int:
        return 1

    def list_hidden_versions(self, tenant_id: str) -> list[str]:
        return []

    def find_visible_versions(self, tenant_id: str, version_ids: Collection[str]) -> dict[str, VisibleVersion]:
        return {}


def tenant(number: int) -> str:
    return "tenant" + "abcdefgh"[number]


def secret(number: int) -> str:
    return f"secret of {tenant(number)} is {1700 + number}"


def text_of(tenant_id: str) -> str:
    number = "abcdefgh".index(tenant_id[-1])
    return f"It is said that the {secret(number)}. Nobody else knows it.\n"


class Told(Durability):
    """Keeps the cells of one run."""

    def __init__(self) -> None:
        self.outputs: list[str] = []

    def record_turn(self, turn: Any) -> None:  # noqa: ANN401 - a trajectory's
        self.outputs.append(turn.output)


@pytest.fixture
def answering() -> Iterator[AnswerPipeline]:
    waiting = asyncio.Event()
    first: list[str] = []

    async def answer(prompt: str) -> str:
        """Roots get their cells; all eight are under way before any gets its first one."""
        asked = re.search(r"What is the secret of (tenant[a-h])\?", prompt)
        if asked is None:
            return f"{len(prompt)} characters"
        if "nothing left over" not in prompt:
            first.append(asked[1])
            if len(set(first)) == TENANTS:
                waiting.set()
            await asyncio.wait_for(waiting.wait(), 60)
            return LOOKS
        if "still" not in prompt:
            return SPENDS.replace("NUMBER", str("abcdefgh".index(asked[1][-1]) + 1))
        return ENDS

    texts = Texts(MemoryBlobs())
    for number in range(TENANTS):
        texts.save(f"v-{tenant(number)}", text_of(tenant(number)), title=tenant(number), chunks=())
    catalog, encoder, sandbox = Tenants(), HashingEmbedder(), build_sandbox(SandboxIsolation.PLAIN)
    searcher = Searcher(FixedGeneration(MemoryIndex(), encoder), catalog, texts)
    scheduler = SubCallScheduler(MemoryReplyCache())
    model = LoadedModel(CallableChat(answer=answer), PROFILE)
    parts = PipelineComponents(catalog, texts, RecordTables(MemoryBlobs()), SqlEngine(), scheduler, encoder, sandbox)
    yield AnswerPipeline(searcher, model, parts, check_mode=CheckMode.QUOTES)
    scheduler.close()
    sandbox.close()


def run(answering: AnswerPipeline, number: int, calls: int) -> tuple[Answer, list[str]]:
    told = Told()
    wanted = AnswerOptions(StrategyName.RECURSIVE, budget=Limits(calls=calls))
    question = f"What is the secret of {tenant(number)}?"
    request = AnswerRequest(question, AnswerScope(tenant(number)), wanted=wanted)
    events = list(answering.stream(request, durability=told))
    assert isinstance(events[-1], Completed)
    return events[-1].answer, told.outputs


def test_nothing_of_one_run_appears_in_another_and_each_spends_its_own_budget(answering: AnswerPipeline) -> None:
    # Three cells, one call for "Say it.", and as many as the tenant's place in the alphabet.
    needed = [3 + 1 + number + 1 for number in range(TENANTS)]
    short = 5
    budgets = [calls - 2 if number == short else calls for number, calls in enumerate(needed)]
    with ThreadPoolExecutor(TENANTS) as pool:
        results = list(pool.map(run, [answering] * TENANTS, range(TENANTS), budgets))
    for number, (answer, outputs) in enumerate(results):
        own = f"['{secret(number)}']"
        assert outputs[0] == f"nothing left over\nsaw {own} ['{tenant(number)} (t.txt)'] 7 characters\n"
        written = " ".join([*outputs, answer.text, *(cited.quote for cited in answer.citations), *answer.reasons])
        assert not [other for other in range(TENANTS) if other != number and tenant(other) in written]
        assert answer.usage.calls == budgets[number]
        if number == short:
            assert answer.status is AnswerStatus.PARTIAL
        else:
            assert answer.status is AnswerStatus.ANSWERED
            assert answer.text.startswith(secret(number))
            assert outputs[1] == f"still {own}\n"
