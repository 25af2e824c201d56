"""How many files a reader visits who follows a question through the code."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from inspect import CO_GENERATOR
from pathlib import Path
from types import FrameType

from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.documents.rows import ActiveDocument
from ingest.storage.tables.store import RecordTables
from ingest.storage.texts.texts import Texts
from rlm.answering import AnswerPipeline
from rlm.build import PipelineComponents
from rlm.corpus.corpus import Corpus
from rlm.llm.scheduler import SubCallScheduler
from rlm.requests import AnswerRequest, AnswerScope
from rlm.tables.sql import SqlEngine
from tests.fakes.callable_chat import CallableChat
from tests.fakes.loaded_model import LoadedModel
from tests.fakes.memory_reply_cache import MemoryReplyCache
from tests.support.answering import CAPABLE, by_stage
from tests.support.containers import message
from tests.support.contexts import searcher_over
from tests.support.ingested_tables import ingested

ROOT = Path(__file__).parents[3]
PACKAGES = ("rlm/", "retrieval/", "ingest/", "api/")
Place = tuple[str, str]  # a file and a function in it
# Walks of their own begin here: searching, asking a model, writing an answer, and judging it.
OTHER_WALKS: frozenset[Place] = frozenset(
    {
        ("rlm/passages.py", "build_search.<locals>.search"),
        ("retrieval/search/search.py", "Searcher.locate"),
        ("rlm/llm/port.py", "request_reply"),
        ("rlm/direct.py", "DirectStrategy.stream"),
        ("rlm/direct.py", "_AnswerRounds.iter_events"),
        ("rlm/checking/judging.py", "Judge.judge_sentences"),
    }
)
MOST_STOPS = 44
TABLE = "## Costs {0}\n\n| item {0} | cost |\n|---|---|\n| rope | {0} |\n| lamp | 4 |\n\n"
COSTS = "".join(TABLE.format(number) for number in range(5))
FILES: dict[str, str | bytes] = {
    "harbour.md": f"# Harbour\n\nThe keeper was Ada.\n\n{COSTS}{'The wind blew and the crew mended sails. ' * 2_000}",
    "wreck.md": "# Wreck\n\nThe Merle sank off the cape.\n",
    "letter.eml": message(),
    "stock.csv": "id,product\n1,lamp\n2,rope\n",
}
ROUTE = json.dumps({"why": "A passage says it.", "strategy": "direct", "queries": ["keeper"]})
ANSWER = 'Ada kept it [1].\n<support answered="yes">\n[1] "keeper was Ada"\n</support>'


_COMPREHENSION = re.compile(r"\.<\w+>$")
_SPECIAL = re.compile(r"\.__(?!init__|call__)\w+__$")  # methods that no caller names, such as `__len__`


class _Catalog:
    """The documents of a corpus as the catalog lists them; none of them is hidden from anybody."""

    def __init__(self, corpus: Corpus) -> None:
        self._rows = [
            ActiveDocument(
                number, each.handle.document_id, each.handle.version_id, each.collection, each.name, each.title,
                each.characters, each.tokens, each.attributes, each.media_type,
            )
            for number, each in enumerate(corpus.documents, start=1)
        ]  # fmt: skip

    def list_active_documents(self, tenant_id: str, *, after: int, **conditions: object) -> list[ActiveDocument]:
        return [] if after else self._rows

    def load_corpus_version(self, tenant_id: str) -> int:
        return 1

    def list_hidden_documents(self, tenant_id: str, readers: frozenset[str]) -> frozenset[str]:
        return frozenset()


def test_a_question_is_followed_through_few_files(tmp_path: Path) -> None:
    """A stop is a call of a function in another file. Each pair of a caller and a function counts once.

    A reader does not follow the call of a function that calls nothing in other files itself, because its name says
    enough, nor the calls within another walk.
    """
    corpus, _ = ingested(tmp_path, FILES, {"wreck.md": {"year": 2024, "held": "2024-03-01"}})
    blobs, catalog = DirectoryBlobs(tmp_path / "blobs"), _Catalog(corpus)
    chat = CallableChat(answer=by_stage(ANSWER, route=ROUTE))
    scheduler = SubCallScheduler(MemoryReplyCache())
    parts = PipelineComponents(catalog, Texts(blobs), RecordTables(blobs), SqlEngine(), scheduler, access=catalog)
    pipeline = AnswerPipeline(searcher_over(corpus), LoadedModel(chat, CAPABLE), parts)
    scope = AnswerScope("ann", readers=frozenset({"ann"}))
    request = AnswerRequest("Who kept the lighthouse, and what did the lamp cost?", scope)
    try:
        stops = _list_stops(lambda: list(pipeline.stream(request)))
    finally:
        scheduler.close()
    assert "Strategies available here" in chat.prompts[0]
    lines = [f"{number}. {' '.join(a)} -> {' '.join(b)}" for number, (a, b) in enumerate(stops, start=1)]
    sys.stdout.write("\n".join(lines))  # pytest shows it if the assertion fails, or with -s
    assert 20 < len(lines) <= MOST_STOPS


def _list_stops(run: Callable[[], object]) -> list[tuple[Place, Place]]:
    calls: dict[tuple[Place, Place], None] = {}
    resumed: set[FrameType] = set()

    def note_call(frame: FrameType, event: str, _: object) -> None:
        called = _find_place(frame)
        if event != "call" or called is None or frame in resumed or _COMPREHENSION.search(frame.f_code.co_qualname):
            return
        if frame.f_code.co_flags & CO_GENERATOR:  # A generator is called once and then resumed.
            resumed.add(frame)
        callers = list(_iter_callers(frame))
        is_followed = not any(_SPECIAL.search(function) for _, function in (called, *callers))
        if callers and is_followed and OTHER_WALKS.isdisjoint(callers):
            calls.setdefault((callers[0], called))

    sys.setprofile(note_call)
    try:
        run()
    finally:
        sys.setprofile(None)
    leading = {place for place in {called for _, called in calls} if _leads_on(place, calls, frozenset())}
    return [(caller, called) for caller, called in calls if caller[0] != called[0] and called in leading]


def _leads_on(place: Place, calls: dict[tuple[Place, Place], None], seen: frozenset[Place]) -> bool:
    """Return whether a function calls one in another file, itself or by functions in its own file."""
    return place in OTHER_WALKS or any(
        called[0] != place[0] or (called not in seen and _leads_on(called, calls, seen | {place}))
        for caller, called in calls
        if caller == place
    )


def _iter_callers(frame: FrameType) -> Iterator[Place]:
    above = frame.f_back
    while above is not None:
        if (place := _find_place(above)) is not None:
            yield place
        above = above.f_back


def _find_place(frame: FrameType) -> Place | None:
    """Return the file and function of a frame in these packages. A comprehension belongs to its function."""
    file = frame.f_code.co_filename.removeprefix(f"{ROOT}/")
    function = frame.f_code.co_qualname.split(".<locals>.<")[0]
    return (file, function) if file.startswith(PACKAGES) else None
