"""A model fills in cards, one at a time: only where a collection asks for it, and within the quotas of its tenant."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import func, select, update

from ingest.storage.accounts.grants import Grants
from ingest.storage.accounts.records import Role
from ingest.storage.accounts.tenants import Tenants
from ingest.storage.answers.replies import Replies
from ingest.storage.db.schema import cards as card_table
from ingest.storage.db.schema import collections as collection_table
from ingest.storage.db.schema import documents as document_table
from ingest.storage.db.schema import replies as reply_table
from ingest.storage.documents.cards.records import CardField, CardLayer, DescribeMode
from ingest.storage.documents.cards.store import Cards
from ingest.storage.documents.records import DocumentChange
from ingest.storage.quotas.records import Account, Quota
from ingest.storage.quotas.store import Quotas
from rlm.describing import ModelDescriber
from rlm.errors import LanguageModelUnavailableError
from rlm.llm.scheduler import SubCallScheduler
from tests.fakes.loaded_model import PROFILE, LoadedModel
from tests.fakes.scripted_chat import ScriptedChat
from tests.support.worker_fixture import WorkerFixture, no
from workers.upkeep.describing import DescriptionFiller

TEXT = "Minutes of the board\n\nAcme and Borealis met on 3 May 2023."
FOUND = {
    "title": "Minutes of the board",
    "kind": "minutes",
    "subjects": ["Acme", "Cedar"],
    "periods": [],
    "dates": ["2023-05-03"],
    "version": "",
    "language": "en",
}
REPLY = json.dumps(FOUND)


@dataclass
class Setting:
    """A worker whose collection asks for descriptions, and a model that has a script."""

    worker: WorkerFixture
    scheduler: SubCallScheduler
    now: float = 1_000.0

    def build(self, *script: Any, mode: DescribeMode = DescribeMode.OPEN, small: bool = False) -> DescriptionFiller:  # noqa: ANN401 - replies and errors
        self.chat = ScriptedChat(script=list(script))
        model = LoadedModel(self.chat, replace(PROFILE, small=small))
        self.quotas = Quotas(self.worker.engine)
        cards = Cards(self.worker.engine).build_descriptions(mode)
        describer = ModelDescriber(model, self.scheduler)
        return DescriptionFiller(cards, describer, self.worker.texts, self.quotas, clock=lambda: self.now)

    def upload(self, text: str = TEXT) -> str:
        document = self.worker.upload(text)
        self.worker.work_off()
        self.ask()
        return document.id

    def ask(self, *, wanted: bool = True) -> None:
        with self.worker.engine.begin() as connection:
            connection.execute(update(collection_table).values(describe=wanted))

    def wait(self, seconds: float) -> None:
        """Let time pass for the process and, because the catalog has a clock of its own, in the catalog's rows."""
        self.now += seconds
        with self.worker.engine.begin() as connection:
            connection.execute(update(card_table).values(describe_after=card_table.c.describe_after - seconds))

    def change_readers(self, document: str, *readers: str) -> None:
        """Give the document an access list, or none if no reader is given."""
        change = DocumentChange(readers=frozenset(readers) or None, changed=frozenset({"readers"}))
        self.worker.catalog.change_document("ann", document, change, None)

    def load(self, document: str) -> Any:  # noqa: ANN401 - a row
        columns = card_table.c.model, card_table.c.describe_failure, card_table.c.describe_failures
        active = document_table.c.active_version_id == card_table.c.version_id
        with self.worker.engine.connect() as connection:
            query = select(*columns).join(document_table, active).where(document_table.c.id == document)
            return connection.execute(query).one()

    def count_replies(self) -> int:
        with self.worker.engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(reply_table)).scalar_one()


@pytest.fixture
def setting(worker: WorkerFixture) -> Iterator[Setting]:
    scheduler = SubCallScheduler(Replies(worker.engine), jitter=lambda: 0.0)
    yield Setting(worker, scheduler)
    scheduler.close()


def test_a_card_gets_the_stated_fields_of_the_reply_once(setting: Setting) -> None:
    document = setting.upload()
    before = setting.worker.catalog.load_corpus_version("ann")
    filler = setting.build(REPLY)
    assert filler.run_step(no)
    card = Cards(setting.worker.engine).load_document_cards("ann", [document])[document]
    assert (card.fields.title, card.fields.kind, card.fields.subjects) == ("Minutes of the board", "minutes", ("Acme",))
    assert card.origins[CardField.DATES] is CardLayer.MODEL
    assert setting.worker.catalog.load_corpus_version("ann") != before
    assert not filler.run_step(no)
    setting.wait(100)
    assert not filler.run_step(no)


def test_a_person_outranks_the_model(setting: Setting) -> None:
    document, cards = setting.upload(), Cards(setting.worker.engine)
    cards.change_card("ann", document, {"kind": "protocol"})
    setting.build(REPLY).run_step(no)
    card = cards.load_document_cards("ann", [document])[document]
    assert (card.fields.kind, card.origins[CardField.KIND]) == ("protocol", CardLayer.PERSON)


def test_nothing_is_described_unless_the_collection_asks_the_setting_permits_and_the_model_is_capable(
    setting: Setting,
) -> None:
    setting.upload()
    setting.ask(wanted=False)
    assert not setting.build().run_step(no)
    setting.ask()
    assert not setting.build(mode=DescribeMode.OFF).run_step(no)
    assert not setting.build(small=True).run_step(no)
    Tenants(setting.worker.engine).suspend("ann")
    assert not setting.build().run_step(no)


@pytest.mark.parametrize("closed", ["document", "collection"])
def test_a_closed_document_is_described_only_if_all_may_be(setting: Setting, closed: str) -> None:
    document = setting.upload()
    if closed == "document":
        setting.change_readers(document, "user:eve")
    else:
        Grants(setting.worker.engine).grant_role("ann", "default", "user:eve", Role.READER)
    assert not setting.build().run_step(no)
    assert setting.build(REPLY, mode=DescribeMode.ALL).run_step(no)
    assert setting.load(document).model["kind"] == "minutes"


def test_a_document_that_is_closed_or_deleted_during_the_call_is_not_described(setting: Setting) -> None:
    document = setting.upload()
    descriptions = Cards(setting.worker.engine).build_descriptions(DescribeMode.OPEN)
    claimed = descriptions.claim_next("", seconds=60)
    assert claimed is not None
    setting.change_readers(document, "user:eve")
    assert not descriptions.store_fields(claimed, claimed.fields)
    assert setting.load(document).model is None
    setting.change_readers(document)
    setting.worker.deleter.delete_document("ann", document)
    assert not descriptions.store_fields(claimed, claimed.fields)


def test_a_version_is_described_by_one_process_and_again_after_one_was_killed(setting: Setting) -> None:
    setting.upload()
    descriptions = Cards(setting.worker.engine).build_descriptions(DescribeMode.OPEN)
    assert descriptions.claim_next("", seconds=600) is not None
    assert not setting.build().run_step(no)
    setting.wait(601)
    assert setting.build(REPLY).run_step(no)


def test_tokens_are_charged_to_the_tenant_and_reserved_first(setting: Setting) -> None:
    document = setting.upload()
    filler = setting.build(REPLY)
    setting.quotas.set_limits(Account("ann"), {Quota.TOKENS_PER_DAY: 1_000})
    assert filler.run_step(no)
    assert (setting.chat.prompts, setting.load(document)[1:]) == ([], ("quota_exceeded", 0))
    setting.quotas.set_limits(Account("ann"), {Quota.TOKENS_PER_DAY: 100_000})
    setting.wait(70)
    assert not filler.run_step(no)
    setting.wait(24 * 3600)
    assert filler.run_step(no)
    (day,) = setting.quotas.list_usage("ann", skip=0, limit=5)
    assert (day.calls, day.prompt_tokens, day.completion_tokens, day.runs, day.answers) == (1, 100, 10, 0, 0)
    (status,) = setting.quotas.load_statuses(Account("ann"))
    assert (status.used, status.reserved) == (110, 0)


def test_a_failure_is_counted_and_retried_later_and_later(setting: Setting) -> None:
    document = setting.upload()
    filler = setting.build("no JSON", "no JSON", "no JSON", "no JSON", REPLY)
    assert filler.run_step(no)
    assert setting.load(document)[1:] == ("language_model_output", 1)
    counted = Cards(setting.worker.engine).build_descriptions(DescribeMode.OPEN).count_waiting()
    assert counted == {"language_model_output": 1}
    setting.wait(540)
    assert not filler.run_step(no)
    setting.wait(61)
    assert filler.run_step(no)
    assert setting.load(document).describe_failures == 2
    setting.wait(1_139)
    assert not filler.run_step(no)
    setting.wait(61)
    assert filler.run_step(no)
    assert setting.load(document)[1:] == (None, 0)


def test_an_unavailable_model_is_awaited_and_counts_no_failure(setting: Setting) -> None:
    document = setting.upload()
    filler = setting.build(*[LanguageModelUnavailableError("It is away.")] * 4, REPLY)
    assert filler.run_step(no)
    assert setting.load(document)[1:] == ("language_model_unavailable", 0)
    assert not filler.run_step(no)
    setting.wait(61)
    while not filler.run_step(no):
        setting.wait(61)
    assert setting.load(document)[1:] == (None, 0)


def test_a_stopping_process_leaves_the_version_to_the_next_one(setting: Setting) -> None:
    document = setting.upload()
    assert setting.build().run_step(lambda: True)
    assert setting.load(document) == (None, None, 0)
    assert setting.build(REPLY).run_step(no)


def test_a_kept_reply_is_removed_with_its_document(setting: Setting) -> None:
    document = setting.upload()
    setting.build(REPLY).run_step(no)
    assert setting.count_replies() == 1
    setting.worker.deleter.delete_document("ann", document)
    setting.worker.work_off()
    assert setting.count_replies() == 0


def test_an_unreadable_text_is_a_failure_of_its_document_alone(setting: Setting) -> None:
    first, second = setting.upload(), setting.upload("Minutes of the board\n\nBorealis")
    version = setting.worker.catalog.load_document("ann", first).version.id
    setting.worker.texts.delete(version)
    filler = setting.build(REPLY)
    assert filler.run_step(no)
    assert filler.run_step(no)
    assert setting.load(first).describe_failure == "document_unreadable"
    assert setting.load(second).model is not None
