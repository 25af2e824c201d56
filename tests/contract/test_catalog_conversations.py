"""Kept answers and conversations on each database: turns, tenants, runs, and what goes when."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from ingest.storage.answers.conversations import MAX_ITEMS, Conversations
from ingest.storage.answers.records import (
    CellRanges,
    ConversationItem,
    Exchange,
    RowRanges,
    StoredAnswer,
    group_into_ranges,
)
from ingest.storage.answers.run_log import RunLog
from ingest.storage.answers.run_records import RunRequest, RunState
from ingest.storage.answers.runs import Runs
from ingest.storage.db.database import open_database
from ingest.storage.documents.catalog import Catalog
from ingest.storage.errors import AnswerNotFoundError, ConversationFullError, ConversationNotFoundError, LeaseLostError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.operations.expiry import Expiry
from ingest.storage.operations.retention import Retention
from ingest.storage.queue.records import JobKind
from tests.support.catalogs import arrive, at_once
from tests.support.postgres import disposed

DAY_SECONDS = 24 * 3600.0


@pytest.fixture
def engine(catalog_url: str) -> Iterator[Engine]:
    with disposed(open_database(catalog_url)) as engine:
        for tenant in ("ann", "bob"):
            Catalog(engine).ensure_tenant(tenant)
        yield engine


@pytest.fixture
def kept(engine: Engine) -> Conversations:
    return Conversations(engine, clock=lambda: 100 * DAY_SECONDS)


def answer(
    identifier: str = "a",
    conversation: str | None = None,
    *,
    text: str = "Because.",
    **changes: Any,  # noqa: ANN401 - members of `KeptAnswer`
) -> StoredAnswer:
    members = {"tenant_id": "ann", "turn": None, "question": "Why?", "rows_behind": (), "created_at": 100 * DAY_SECONDS}
    return StoredAnswer(id=identifier, conversation_id=conversation, body={"text": text}, **{**members, **changes})


def test_an_answer_comes_back_as_it_was_kept_with_the_rows_behind_it(kept: Conversations) -> None:
    rows = (RowRanges("d", "v", 0, group_into_ranges([1, 2, 3, 7, 9, 10])), RowRanges("e", "w", 2, ((5, 5),)))
    given = answer(text="Half 鯨", rows_behind=rows)
    assert kept.store_answer(given) == given
    found = kept.load_answer("ann", "a")
    assert found == given
    assert [list(each.iter_numbers()) for each in found.rows_behind] == [[1, 2, 3, 7, 9, 10], [5]]
    assert [len(each) for each in found.rows_behind] == [6, 1]


def test_the_rows_behind_single_cells_come_back_also_those_of_other_tables(kept: Conversations) -> None:
    rows = (RowRanges("d", "v", 0, ((1, 9),)),)
    cells = (
        CellRanges(1, None, (RowRanges("d", "v", 0, ((1, 3),)), RowRanges("e", "w", 2, ((5, 5),)))),
        CellRanges(1, 2, (RowRanges("d", "v", 0, ((2, 2), (4, 4))),)),
    )
    for identifier, behind in (("a", rows), ("b", ())):
        given = answer(identifier, rows_behind=behind, cells_behind=cells)
        kept.store_answer(given)
        assert kept.load_answer("ann", identifier) == given


def test_keeping_an_answer_again_makes_no_second_turn(kept: Conversations) -> None:
    talk = kept.start_conversation("ann", "Why?")
    first = kept.store_answer(answer("a", talk))
    assert kept.store_answer(answer("a", talk)) == first
    assert kept.load_conversation("ann", talk).turns == first.turn == 1


def test_answers_at_once_are_turns_of_their_own(kept: Conversations) -> None:
    talk = kept.start_conversation("ann", "Why?")
    ends = at_once(*(lambda n=n: kept.store_answer(answer(f"{n}", talk)).turn for n in range(6)))
    assert sorted(map(str, ends)) == list("123456")
    assert [each.turn for each in kept.list_turns("ann", talk)] == [1, 2, 3, 4, 5, 6]


def test_a_conversation_is_listed_newest_first_once_something_was_answered_in_it(kept: Conversations) -> None:
    first, second, _ = (kept.start_conversation("ann", f"Question\n {number}?") for number in range(3))
    for talk in (first, second):
        kept.store_answer(answer(f"in {talk}"[:36], talk))
    assert [each.title for each in kept.list_conversations("ann")] == ["Question 1?", "Question 0?"]
    newest = kept.list_conversations("ann", limit=1)[0]
    assert [each.id for each in kept.list_conversations("ann", before=newest.sequence)] == [first]
    assert kept.list_conversations("bob") == []


def test_a_conversation_is_found_by_words_of_its_title_its_questions_and_its_answers(kept: Conversations) -> None:
    first, second, _ = (kept.start_conversation("ann", f"Question {number}?") for number in range(3))
    kept.store_answer(
        answer("a", first, question="Which Straße?", text=f"{'It is long. ' * 9}The ＷＨＡＬＥ is white.")
    )
    kept.store_answer(answer("b", second, text="Nothing."))

    def search(words: str, **changes: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - arguments of the method
        found = kept.search_conversations("ann", words, **changes)
        return [(each.conversation.id, each.excerpt) for each in found.found]

    assert search("question") == [(second, ""), (first, "")]
    assert search("STRASSE 0 whale") == [(first, "Which Straße?")]
    assert search("white") == [(first, "…g. It is long. It is long. The ＷＨＡＬＥ is white.")]
    assert search("white nothing") == search("black") == search("question", owner="bob", before=1) == []
    assert kept.search_conversations("bob", "question").found == []


def test_a_search_continues_after_the_conversations_that_it_has_searched(
    kept: Conversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    talks = [kept.start_conversation("ann", f"Question {number}?") for number in range(7)]
    for number, talk in enumerate(talks):
        kept.store_answer(answer(f"a{number}", talk, text="White." if number in (0, 5) else "Black."))
    monkeypatch.setattr("ingest.storage.answers.conversation_search.CONVERSATIONS_PER_SEARCH", 3)
    pages: list[list[str]] = []
    before = None
    while not pages or before is not None:
        found = kept.search_conversations("ann", "white", before=before)
        pages.append([each.conversation.id for each in found.found])
        before = found.searched_to
    assert pages == [[talks[5]], [], [talks[0]]]
    first = kept.search_conversations("ann", "question", limit=2)
    assert [each.conversation.id for each in first.found] == talks[:4:-1]
    again = kept.search_conversations("ann", "question", limit=2, before=first.searched_to)
    assert [each.conversation.id for each in again.found] == talks[4:2:-1]


def test_a_conversation_is_renamed_by_its_owner(kept: Conversations) -> None:
    talk = kept.start_conversation("ann", "Why?", owner="user:eve")
    kept.store_answer(answer("a", talk))
    assert kept.rename_conversation("ann", talk, f" Whales\n and {'x' * 300}", "user:eve").title == (
        f"Whales and {'x' * 189}"
    )
    for tenant, owner in (("ann", "user:bob"), ("bob", None)):
        with pytest.raises(ConversationNotFoundError):
            kept.rename_conversation(tenant, talk, "Mine", owner)
    assert kept.load_conversation("ann", talk).title.startswith("Whales")


def test_the_end_of_a_long_conversation_is_read_and_not_all_of_it(kept: Conversations) -> None:
    talk = kept.start_conversation("ann", "0?")
    for number in range(60):
        kept.store_answer(answer(f"{number}", talk, question=f"{number:02}?", text=f"Answer {number:02}."))
    assert kept.list_last_exchanges("ann", talk, max_characters=30) == [
        Exchange("57?", "Answer 57.", 58),
        Exchange("58?", "Answer 58.", 59),
        Exchange("59?", "Answer 59.", 60),
    ]
    assert len(kept.list_last_exchanges("ann", talk, max_characters=10_000)) == 60


def test_items_of_programs_follow_the_turn_before_them_and_are_their_owners_alone(kept: Conversations) -> None:
    first, second = (ConversationItem(each, 0, {"role": "user", "text": each}) for each in ("first", "second"))
    talk = kept.start_conversation("ann", "Why?", "ann-1", metadata={"topic": "boats"}, items=[first])
    kept.store_answer(answer("a", talk))
    changed = kept.add_items("ann", talk, [second], "ann-1")
    assert [(each.id, each.turn) for each in changed.items] == [("first", 0), ("second", 1)]
    assert changed.metadata == {"topic": "boats"}
    for stranger in (("ann", talk, [second], "ann-2"), ("bob", talk, [second], None)):
        with pytest.raises(ConversationNotFoundError):
            kept.add_items(*stranger)
    with pytest.raises(ConversationFullError):
        kept.add_items("ann", talk, [second] * MAX_ITEMS)
    assert kept.delete_item("ann", talk, "third") is None
    left = kept.delete_item("ann", talk, "first", "ann-1")
    assert left is not None
    assert left.items == changed.items[1:]
    assert kept.replace_metadata("ann", talk, {}).metadata == {}


def test_an_answer_that_was_deleted_is_in_its_conversation_no_more(kept: Conversations) -> None:
    talk = kept.start_conversation("ann", "Why?")
    for identifier in "abc":
        kept.store_answer(answer(identifier, talk))
    kept.delete_answer("ann", "b")
    assert [each.id for each in kept.list_turns("ann", talk)] == ["a", "c"]
    assert kept.store_answer(answer("d", talk)).turn == 4
    with pytest.raises(AnswerNotFoundError):
        kept.load_answer("ann", "b")


def test_with_a_conversation_go_its_answers_and_a_late_one_belongs_to_none(kept: Conversations) -> None:
    talk = kept.start_conversation("ann", "Why?")
    kept.store_answer(answer("a", talk))
    kept.delete_conversation("ann", talk)
    with pytest.raises(AnswerNotFoundError):
        kept.load_answer("ann", "a")
    with pytest.raises(ConversationNotFoundError):
        kept.list_turns("ann", talk)
    late = kept.store_answer(answer("b", talk))
    assert (late.conversation_id, late.turn) == (None, None)
    assert kept.load_answer("ann", "b") == late


def test_another_tenants_answers_and_conversations_are_none(kept: Conversations) -> None:
    talk = kept.start_conversation("ann", "Why?")
    kept.store_answer(answer("a", talk))
    for use in (kept.load_answer, kept.delete_answer):
        with pytest.raises(AnswerNotFoundError):
            use("bob", "a")
    for read in (kept.load_conversation, kept.list_turns, kept.delete_conversation):
        with pytest.raises(ConversationNotFoundError):
            read("bob", talk)
    with pytest.raises(ConversationNotFoundError):
        kept.list_last_exchanges("bob", talk, max_characters=10)
    assert kept.store_answer(answer("b", talk, tenant_id="bob")).conversation_id is None
    assert [each.id for each in kept.list_turns("ann", talk)] == ["a"]


def test_what_was_kept_for_its_time_goes_and_a_conversation_that_is_used_stays_whole(
    kept: Conversations, engine: Engine
) -> None:
    old, used = kept.start_conversation("ann", "old"), kept.start_conversation("ann", "used")
    kept.store_answer(answer("1", old, created_at=9 * DAY_SECONDS))
    kept.store_answer(answer("2", used, created_at=9 * DAY_SECONDS))
    kept.store_answer(answer("3", used, created_at=99 * DAY_SECONDS))
    kept.store_answer(answer("4", created_at=69 * DAY_SECONDS))
    kept.store_answer(answer("5", created_at=71 * DAY_SECONDS))
    assert Expiry(engine, clock=lambda: 100 * DAY_SECONDS).delete_expired_records(Retention(30, 90)) == {
        "conversations": 1,
        "answers": 1,
    }
    assert [each.id for each in kept.list_conversations("ann")] == [used]
    assert [each.id for each in kept.list_turns("ann", used)] == ["2", "3"]
    for gone in "14":
        with pytest.raises(AnswerNotFoundError):
            kept.load_answer("ann", gone)
    assert kept.load_answer("ann", "5").id == "5"


def test_which_documents_were_deleted(kept: Conversations, engine: Engine) -> None:
    catalog = Catalog(engine)
    gone, there = arrive(catalog, "gone"), arrive(catalog, "there")
    catalog.delete_document("ann", gone.id)
    assert kept.list_withheld_documents({gone.id, there.id, "unknown"}) == {gone.id}


def test_a_run_ends_with_its_answer_in_its_conversation_and_deleting_either_leaves_nothing_of_it(
    kept: Conversations, engine: Engine
) -> None:
    runs, jobs, log = Runs(engine), Jobs(engine), RunLog(engine)
    talk = kept.start_conversation("ann", "Why?")
    ids = []
    for _ in range(2):
        asked = RunRequest("ann", "Why?", history=[{"role": "user", "text": "Hm."}], conversation_id=talk)
        run = runs.create(asked)[0]
        assert (run.history, run.conversation_id) == ([{"role": "user", "text": "Hm."}], talk)
        (job,) = jobs.claim(JobKind.RUN)
        log.start_run(job)
        given = answer(run.id, talk)
        log.finish_run(job, RunState.COMPLETED, given.body, seconds=1.0, stored_answer=given)
        ids.append(run.id)
    assert [each.id for each in kept.list_turns("ann", talk)] == ids
    kept.delete_answer("ann", ids[0])
    assert runs.load_run("ann", ids[0]).answer is None
    runs.delete("ann", ids[1])
    assert kept.list_turns("ann", talk) == []


def test_a_run_that_was_cancelled_keeps_no_answer(kept: Conversations, engine: Engine) -> None:
    runs, jobs, log = Runs(engine), Jobs(engine), RunLog(engine)
    run = runs.create(RunRequest("ann", "Why?"))[0]
    (job,) = jobs.claim(JobKind.RUN)
    log.start_run(job)
    runs.cancel("ann", run.id)
    with pytest.raises(LeaseLostError):
        log.finish_run(job, RunState.COMPLETED, {"text": "x"}, seconds=1.0, stored_answer=answer(run.id))
    with pytest.raises(AnswerNotFoundError):
        kept.load_answer("ann", run.id)


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ({"conversation": "new", "conversation_id": "x"}, {"conversation": "new", "conversation_id": "y"}, True),
        ({"conversation": "c", "history": [{"role": "user", "text": "1"}]}, {"conversation": "c"}, True),
        ({"conversation": "c"}, {"conversation": "d"}, False),
        ({"conversation": "c"}, {}, False),
        ({"history": [{"role": "user", "text": "1"}]}, {"history": [{"role": "user", "text": "2"}]}, False),
        ({"history": [{"role": "user", "text": "1"}]}, {}, False),
    ],
)
def test_the_same_question_in_another_conversation_is_another_request(
    first: dict[str, Any], second: dict[str, Any], is_same: bool
) -> None:
    one, other = RunRequest("ann", "Why?", **first), RunRequest("ann", "Why?", **second)
    assert (one.request_sha256 == other.request_sha256) is is_same
