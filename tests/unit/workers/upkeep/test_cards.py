"""Ingest makes the card of each version, and upkeep those of earlier releases, a few at a time and without parsing."""

from typing import Any

from sqlalchemy import delete, select

from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.db.schema import cards as card_table
from ingest.storage.documents.cards.store import Cards
from ingest.storage.documents.digests import ContentDigests
from ingest.storage.documents.rows import VisibleVersion
from retrieval.index.bm25 import Bm25Encoder, EarlierBm25Encoder
from retrieval.search.cards import CardRanker, get_card_maker
from tests.support.books import book
from tests.support.fixed_generation import FixedGeneration
from tests.support.worker_fixture import PlainParser, WorkerFixture
from tests.unit.workers.upkeep.test_digests import Clock
from workers.tasks.ingest import IngestTask
from workers.upkeep.cards import CardFiller

ENCODER = Bm25Encoder()
MAKER = get_card_maker(ENCODER)


def build_filler(worker: WorkerFixture, clock: Clock | None = None) -> CardFiller:
    digests = ContentDigests(worker.engine)
    return CardFiller(Cards(worker.engine), worker.blobs, digests, ENCODER, clock=clock or Clock())


def of_earlier_release(worker: WorkerFixture, *texts: str) -> list[str]:
    """Versions that are ready, and have no cards."""
    made = [worker.upload(text, f"{number}.md").version.id for number, text in enumerate(texts)]
    worker.work_off()
    with worker.engine.begin() as connection:
        connection.execute(delete(card_table))
    return made


def rows(worker: WorkerFixture) -> dict[str, tuple[Any, ...]]:
    """The terms and the fields of each card."""
    with worker.engine.connect() as connection:
        columns = card_table.c.version_id, card_table.c.terms, card_table.c.source, card_table.c.rules
        return {row[0]: (bytes(row[1]), *row[2:]) for row in connection.execute(select(*columns))}


def score(worker: WorkerFixture, query: str, *versions: str) -> dict[str, float] | None:
    visible = [VisibleVersion(each, each, "default", "", {}) for each in versions]
    return CardRanker(Cards(worker.engine), ENCODER, lambda _: 1).score_documents("ann", query, visible)


def test_a_new_version_has_its_card_when_it_is_searchable(worker: WorkerFixture) -> None:
    one, two = (worker.upload(text, f"{text[:4]}.md").version.id for text in ("Acme report", "Borealis report"))
    worker.work_off()
    assert Cards(worker.engine).count_lacking(MAKER) == 0
    scores = score(worker, "the report of Borealis", one, two)
    assert scores is not None
    assert scores[two] > scores[one]


def test_an_ingest_into_an_index_of_an_earlier_encoder_makes_a_card_by_the_current_one(worker: WorkerFixture) -> None:
    generations = FixedGeneration(worker.index, worker.embedder, EarlierBm25Encoder())
    worker.deps = type(worker.deps)(
        worker.catalog, worker.jobs, worker.redaction, worker.blobs, worker.texts, generations, ENCODER
    )
    worker.ingest = IngestTask(worker.deps, PlainParser())
    version = worker.upload("Invoice 12,345 of Acme").version.id
    worker.work_off()
    assert Cards(worker.engine).load_cards([version], MAKER).keys() == {version}


def test_a_replacement_gets_a_card_and_the_replaced_version_loses_its_own(worker: WorkerFixture) -> None:
    document = worker.upload("Acme report")
    worker.work_off()
    worker.replace(document, "Borealis report")
    worker.work_off()
    active = worker.catalog.load_document("ann", document.id).version.id
    assert active != document.version.id
    assert rows(worker).keys() == {active}


def test_a_card_goes_with_its_document(worker: WorkerFixture) -> None:
    document = worker.upload("Acme report")
    worker.work_off()
    worker.deleter.delete_document("ann", document.id)
    assert rows(worker) == {}


def test_missing_cards_are_as_the_ingest_makes_them_and_no_document_is_parsed(worker: WorkerFixture) -> None:
    for number, text in enumerate((book(1), "Über Straßen und Brücken. " * 200, "x", "短い文書です。" * 400)):
        worker.upload(text, f"{number}.md")
    worker.work_off()
    before = rows(worker)
    assert len(before) == 4
    assert any(rules.get("language") == "en" for _, _, rules in before.values())
    with worker.engine.begin() as connection:
        connection.execute(delete(card_table))
    for key in list(worker.blobs.iter_keys("original")):
        worker.blobs.delete(key)
    assert build_filler(worker).run_step(10) == len(before)
    assert rows(worker) == before


def test_a_step_takes_about_as_long_as_it_may_and_the_next_one_goes_on(worker: WorkerFixture) -> None:
    of_earlier_release(worker, *(book(number) for number in range(5)))
    cards, filler = Cards(worker.engine), build_filler(worker, Clock(step=1.0))
    left = []
    while filler.run_step(3):
        left.append(cards.count_lacking(MAKER))
    assert len(left) > 1
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0


def test_another_process_goes_on_where_one_ended(worker: WorkerFixture) -> None:
    of_earlier_release(worker, *(book(number) for number in range(5)))
    first, second = build_filler(worker, Clock(step=1.0)), build_filler(worker)
    filled = first.run_step(3)
    assert 0 < filled < 5
    assert second.run_step(10) == 5 - filled
    assert first.run_step(3) == 0


def test_a_text_that_cannot_be_read_gets_no_card_and_holds_up_no_other(worker: WorkerFixture) -> None:
    lost, changed, *_ = sorted(of_earlier_release(worker, *(book(number) for number in range(4))))
    blobs = worker.blobs
    assert isinstance(blobs, DirectoryBlobs)
    blobs.resolve_path(f"text/{lost[:2]}/{lost}.txt").unlink()
    path = blobs.resolve_path(f"text/{changed[:2]}/{changed}.txt")
    path.write_bytes(path.read_bytes().swapcase())
    assert build_filler(worker).run_step(10) == 2
    lacking = Cards(worker.engine).list_lacking(MAKER, "", 10)
    assert [each.version_id for each in lacking] == [lost, changed]


def test_cards_by_earlier_rules_are_made_again(worker: WorkerFixture) -> None:
    (version,) = of_earlier_release(worker, "Invoice 12,345 of Acme")
    earlier = EarlierBm25Encoder()
    digests = ContentDigests(worker.engine)
    assert CardFiller(Cards(worker.engine), worker.blobs, digests, earlier, clock=Clock()).run_step(10) == 1
    assert score(worker, "12345", version) is None
    assert build_filler(worker).run_step(10) == 1
    assert (score(worker, "12345", version) or {})[version] > 0


def test_when_no_card_is_missing_the_catalog_is_not_asked_again_for_an_hour(worker: WorkerFixture) -> None:
    clock = Clock()
    filler = build_filler(worker, clock)
    assert filler.run_step(1) == 0
    of_earlier_release(worker, book(1))
    clock.now += 3_000
    assert filler.run_step(1) == 0
    clock.now += 700
    clock.step = 0.1
    assert filler.run_step(1) == 1


def test_cards_that_the_previous_release_left_behind_are_removed_at_the_end_of_a_round(worker: WorkerFixture) -> None:
    (version,) = of_earlier_release(worker, book(1))
    build_filler(worker).run_step(10)
    with worker.engine.begin() as connection:
        connection.execute(card_table.update().values(version_id="removed"))
    assert build_filler(worker, Clock(step=0.01)).run_step(10) == 1
    assert rows(worker).keys() == {version}
