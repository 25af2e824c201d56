"""Tools of a run's code, called as it calls them."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from retrieval.search.requests import Passage
from rlm.corpus.corpus import Corpus
from rlm.errors import LanguageModelUnavailableError, RunCancelledError
from rlm.llm.port import SubCalls, SubFailure
from rlm.loop.environment import TimeLimit
from rlm.loop.literals import CellLiterals
from rlm.loop.read_log import ReadLog
from rlm.loop.submit import Submissions
from rlm.loop.tools import Descend, Toolbox
from rlm.sandbox.port import Sandbox, ToolError
from rlm.strategy import Search
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.fakes.scripted_root import ScriptedRoot
from tests.support.corpora import CITIES, tables_of_cities
from tests.support.recursive_runs import environment

SHIPS = "\n".join(f"Ship {n}: built in {1700 + n}" for n in range(1, 31))
BOOK = "# One\n\nThe whale sang.\n\n# Two\n\nThe whale slept. No whale woke.\n"


class _NoSandbox:
    """These tests call tools from here."""

    def open(self, tools: object) -> Any:  # noqa: ANN401
        raise AssertionError

    def close(self) -> None: ...


NO_SANDBOX: Sandbox = _NoSandbox()


class Toolkit:
    """A toolbox over documents, with sub-calls by a rule; `tools` are as a run's code has them."""

    def __init__(
        self,
        *documents: str,
        sub: Callable[[str], str | SubFailure] = str.upper,
        calls: SubCalls | None = None,
        descend: Descend | None = None,
        cancelled: bool = False,
        **more: Any,  # noqa: ANN401
    ) -> None:
        made = calls or ScriptedRoot(sub=sub)
        given = environment(NO_SANDBOX, made, *(documents or (SHIPS,)), cancelled=lambda: cancelled, **more)
        self.corpus = given.corpus
        self.log = ReadLog(given.corpus)
        self.submissions = Submissions(given.corpus, self.log, CellLiterals())
        self.toolbox = Toolbox(given, given.calls, self.log, self.submissions, TimeLimit(given.budget), descend)
        self.tools: dict[str, Any] = dict(self.toolbox.build_tools())


def texts(kit: Toolkit, handles: Sequence[object]) -> list[str]:
    read: list[str] = kit.tools["read"](list(handles))
    return read


def test_no_batch_of_prompts_is_so_long_that_preparing_it_outlasts_the_run() -> None:
    kit = Toolkit()
    with pytest.raises(ToolError, match="20,001 prompts, but the limit is 20,000 at once"):
        kit.tools["llm_query_batched"](["x"] * 20_001)


@pytest.mark.parametrize("by", ["line", "chunk", "document"])
def test_cutting_records_ends_when_the_run_is_cancelled(by: str) -> None:
    with pytest.raises(RunCancelledError):
        Toolkit("One.", "Two.", cancelled=True).tools["records"](by=by)


def some(prompt: str) -> str | SubFailure:
    return SubFailure("budget_exhausted", "No more.") if prompt.endswith("3") else "1"


def test_sub_calls_of_which_some_failed_are_told_and_remembered() -> None:
    kit = Toolkit(sub=some)
    assert kit.tools["llm_query_batched"]([f"Count {n}" for n in range(20)]).count(None) == 2
    assert kit.toolbox.pop_notes() == ["llm_query_batched: 2 of 20 have no reply: budget exhausted."]
    assert kit.log.failures == ("2 model calls have no reply: budget exhausted.",)


def test_a_sub_call_that_is_answered_later_is_missed_no_more() -> None:
    failing = iter([SubFailure("language_model_timeout", "Too slow.")])
    kit = Toolkit(sub=lambda _: next(failing, "1"))
    with pytest.raises(ToolError, match="none of the 1 sub-calls"):
        kit.tools["llm_query_batched"](["Count"])
    assert kit.log.failures == ("1 model call has no reply: language model timeout.",)
    assert kit.tools["llm_query_batched"](["Count"]) == ["1"]
    assert not [*kit.log.failures]


def test_a_part_of_a_run_is_not_about_all_documents_where_its_list_is_empty() -> None:
    kit = Toolkit(descend=lambda question, corpus: {"documents": len(corpus.documents)})
    with pytest.raises(ToolError, match="empty list"):
        kit.tools["rlm_query"]("Which?", [])
    assert kit.tools["rlm_query"]("Which?") == {"documents": 1}
    assert kit.tools["rlm_query"]("Which?", "doc-1") == {"documents": 1}


def test_grep_and_count_are_limited_to_a_section_a_document_or_several() -> None:
    kit = Toolkit(BOOK, "A whale in another book.", "Nothing.")
    first, second = kit.tools["outline"]("doc-1")
    for within, lines in [
        (None, ["The whale sang.", *["The whale slept. No whale woke."] * 2, "A whale in another book."]),
        (second, ["The whale slept. No whale woke."] * 2),
        ([first, "Title 2"], ["The whale sang.", "A whale in another book."]),
        ("3.md", []),
    ]:
        hits = kit.tools["grep"]("whale", within=within)["hits"]
        assert [hit["text"] for hit in hits] == lines
        assert texts(kit, hits) == lines
        assert kit.tools["count"]("whale", within=within)["total"] == len(lines)


def test_pages_of_grep_within_a_place_go_on_there() -> None:
    kit = Toolkit(SHIPS, SHIPS)
    page = kit.tools["grep"]("Ship 1", limit=7, within="doc-2")
    rest = kit.tools["grep"]("Ship 1", within="doc-2", cursor=page["next_cursor"])
    found = [hit["text"].split(":")[0] for hit in page["hits"] + rest["hits"]]
    assert found == [f"Ship {n}" for n in (1, *range(10, 20))]
    assert rest["next_cursor"] is None
    assert "continues" in kit.toolbox.pop_notes()[0]


def test_hits_say_under_which_heading_they_stand() -> None:
    hits = Toolkit(BOOK, "No heading over a whale.").tools["grep"]("whale")["hits"]
    assert [hit["heading"] for hit in hits] == ["One", "Two", "Two", ""]


def finding(*found: tuple[int, int, int]) -> Callable[[Corpus], Search]:
    """A search that finds spans, each given with the number of its document."""

    def made(corpus: Corpus) -> Search:
        def search(query: str, top_k: int) -> Sequence[Passage]:
            known = {each.handle.document_id: each.handle for each in corpus.documents}
            spans = [(known[f"doc-{number}"], a, b) for number, a, b in found if f"doc-{number}" in known]
            return [corpus.load_passage(whole[a:b]) for whole, a, b in spans][:top_k]

        return search

    return made


def test_limits_that_are_reached_again_and_again_are_one_note() -> None:
    kit = Toolkit()
    for _ in range(20):
        kit.tools["grep"]("Ship", limit=2)
    assert kit.toolbox.pop_notes() == [
        "grep() stopped after 2 matches; cursor='0:26' continues. So did 19 earlier calls in this cell."
    ]
    kit.tools["grep"]("Ship", limit=2)
    assert kit.toolbox.pop_notes() == ["grep() stopped after 2 matches; cursor='0:26' continues."]


def test_each_tool_names_documents_by_title_and_file_and_takes_these_names() -> None:
    def search(corpus: Corpus) -> Search:
        return lambda query, top_k: [corpus.load_passage(each.handle[:20]) for each in corpus.documents]

    kit = Toolkit(SHIPS, BOOK, search=search)
    names = ["Title 1 (1.md)", "Title 2 (2.md)"]
    assert [each["title"] for each in kit.tools["outline"]()] == names
    assert [each["title"] for each in kit.tools["records"](by="document")] == names
    assert [each["title"] for each in kit.tools["search"]("whale", 2)] == names
    assert {each["title"] for each in kit.tools["grep"]("whale")["hits"]} == {names[1]}
    assert kit.tools["read"](names[1]) == BOOK
    assert kit.tools["count"]("whale", within=names[0])["total"] == 0


def test_a_document_closed_meanwhile_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    kit = Toolkit(SHIPS, BOOK)
    corpus = kit.corpus
    monkeypatch.setattr(corpus, "is_visible", lambda document: document.title != "Title 1")
    assert [each["title"] for each in kit.tools["outline"]()] == ["Title 2 (2.md)"]


def test_search_is_limited_to_a_document_or_a_part_of_one() -> None:
    kit = Toolkit(BOOK, "A whale in another book.", search=finding((2, 0, 7), (1, 7, 20), (1, 30, 45)))
    search = kit.tools["search"]
    assert [hit["document"] for hit in search("whale")] == ["doc-2", "doc-1", "doc-1"]
    assert len(search("whale", top_k=1)) == 1
    assert [hit["start"] for hit in search("whale", within="doc-1")] == [7, 30]
    section = kit.tools["outline"]("doc-1")[1]
    (hit,) = search("whale", within=[section])
    assert texts(kit, [hit]) == [hit["text"]]
    assert hit["heading"] == "Two"


def test_reading_around_a_handle_shows_its_neighbours() -> None:
    kit = Toolkit()
    (hit,) = kit.tools["grep"]("Ship 7")["hits"]
    assert kit.tools["read"](hit, around=25).count("Ship") == 3
    assert kit.tools["read"]("doc-1", around=25) == SHIPS


def test_rows_of_a_table_come_with_their_values_and_are_judged_with_their_columns() -> None:
    judged = RuleSubCalls(lambda text: "yes" if "people: 12" in text else "no")
    kit = Toolkit(CITIES, "Prose.", tables=tables_of_cities("v1"), calls=judged)
    rows = kit.tools["records"]("doc-1")
    assert [row["values"]["city"] for row in rows] == ["Oslo", "Bergen", "Two\nNames"]
    assert rows[0]["values"]["founded"] == "1048-01-01"
    assert texts(kit, rows)[0] == "Oslo,709037,1048-01-01"
    assert kit.tools["filter_records"](rows, "Is it small?") == [False, False, True]
    assert len(kit.tools["records"]("doc-1", by="line")) == 5


def test_a_cell_that_calls_a_tool_for_each_of_very_many_things_is_told_how_else() -> None:
    kit = Toolkit()
    for _ in range(20_000):
        kit.tools["read"]("doc-1", 0, 1)
    with pytest.raises(ToolError, match=r"20,000 times, which is the limit: read\(\) and the operators take lists"):
        kit.tools["read"]("doc-1", 0, 1)
    kit.tools["draft"](None)
    kit.toolbox.start_cell()
    assert kit.tools["read"]("doc-1", 0, 4) == "Ship"


def test_a_model_that_is_away_ends_the_attempt_and_is_nothing_that_code_could_mend() -> None:
    def sub(_: str) -> str:
        raise LanguageModelUnavailableError("The model's server is away.")

    with pytest.raises(LanguageModelUnavailableError):
        Toolkit(sub=sub).tools["llm_query"]("Count")
