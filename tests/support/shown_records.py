"""Makes every model that the API makes of records, each of an awkward one.

`python -m tests.support.shown_records` records their JSON anew, after a change that clients are meant to see.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from random import Random

from pydantic import BaseModel

import api.accounts.schemas as accounts
import api.accounts.session_routes as sessions
import api.answers.conversation_schemas as conversations
import api.answers.run_schemas as runs
import api.audit.schemas as audit
import api.collections.schemas as collections
import api.documents.batch_schemas as batches
import api.documents.bulk_schemas as bulk
import api.documents.card_schemas as cards
import api.documents.content_schemas as content
import api.documents.listing_schemas as listings
import api.documents.schemas as documents
import api.feedback.schemas as feedback
import api.mcp.schemas as mcp
import api.search.schemas as searches
import api.shares.schemas as shares
import api.sources.schemas as sources
import api.status.schemas as status
import api.usage.schemas as usage
import api.webhooks.schemas as webhooks
from api.answers.schemas import AnswerOut
from api.http.wire import QuotaOut
from ingest.sources.port import SourceItem
from ingest.storage.accounts.grants import Grant
from ingest.storage.accounts.keys import ApiKey
from ingest.storage.accounts.records import OPEN_ACCESS, Principal
from ingest.storage.accounts.tenants import Tenant
from ingest.storage.accounts.users import User, UserAccess
from ingest.storage.answers.feedback_records import FeedbackEntry, Share
from ingest.storage.answers.records import Conversation
from ingest.storage.answers.run_records import Run, RunEvent, RunState
from ingest.storage.answers.usage import CollectionUsage
from ingest.storage.audit.records import AuditEntry, ChainVerification
from ingest.storage.documents.batch_records import BatchFailure, BatchProgress
from ingest.storage.documents.cards.records import CardField, DocumentCard, FacetCount
from ingest.storage.documents.collection_records import Collection, CollectionDeletion, CollectionSettings
from ingest.storage.documents.listing import ListingTotal
from ingest.storage.documents.progress import DocumentProgress
from ingest.storage.documents.records import Deletion, Document, Version, VersionState
from ingest.storage.documents.rows import StateTotal
from ingest.storage.quotas.records import QuotaStatus, UsageDay
from ingest.storage.slack.usage import ChannelDay
from ingest.storage.sources.records import SourceItemRecord, SourceRecord, Sync
from ingest.storage.tables.types import RecordRow, RecordTable
from ingest.storage.webhooks.records import Delivery, Webhook
from retrieval.search.query_cache import CacheCounts
from retrieval.search.requests import Rewrite
from retrieval.search.reranking import RerankOutcome
from retrieval.search.rewriting import RewriteOutcome
from retrieval.search.search import Hit, SearchResult, UnreadableDocument
from rlm.answers import Answer, AnswerStatus, Coverage, SearchSummary, build_stored_answer
from rlm.requests import StrategyName
from tests.support.awkward_records import ANYTHING, TEXT, awkward

ANSWER = Answer(AnswerStatus.ANSWERED, TEXT, (), (), "recursive", None, SearchSummary(0, 0, ()))


RECORDED = Path(__file__).with_suffix(".json")
SEEDS = ("1", "2", "3")


def make_models(seed: str) -> dict[str, BaseModel]:
    """Make each model, by its name, of records that the seed decides."""
    chance = Random(seed)
    made = [*_accounts(chance), *_answers(chance), *_documents(chance), *_searches(chance), *_others(chance)]
    return {type(each).__name__: each for each in made}


def _accounts(chance: Random) -> list[BaseModel]:
    principal, key = awkward(Principal, chance, collections=OPEN_ACCESS), awkward(ApiKey, chance)
    return [
        accounts.TenantOut.from_records(awkward(Tenant, chance)),
        accounts.UserOut.from_user(awkward(User, chance), awkward(UserAccess, chance)),
        accounts.KeyOut.from_key(key),
        accounts.NewKeyOut.from_new_key((key, TEXT)),
        accounts.PrincipalOut.from_records(principal),
        accounts.GrantOut.from_records(awkward(Grant, chance)),
        sessions.SessionOut.from_caller(principal, chance.choice([None, "secret"])),
        audit.AuditEntryOut.from_records(awkward(AuditEntry, chance)),
        audit.VerificationOut.from_verification(awkward(ChainVerification, chance)),
    ]


def _answers(chance: Random) -> list[BaseModel]:
    answer = replace(
        build_stored_answer(ANSWER, "id", "ann", TEXT, None), created_at=0.25, turn=chance.choice([None, 3])
    )
    body = chance.choice([None, answer.body, {**answer.body, "coverage": asdict(awkward(Coverage, chance))}])
    run, queued = awkward(Run, chance, answer=body), chance.choice([None, 2])
    entry = awkward(FeedbackEntry, chance)
    reader, withheld = chance.choice([TEXT, entry.author]), chance.random() < 0.3
    shown = AnswerOut.from_stored_answer(answer)
    return [
        conversations.ConversationOut.from_conversation(awkward(Conversation, chance)),
        conversations.TurnOut.from_stored_answer(answer, ()),
        runs.RunOut.from_run(run, queue_position=queued, is_withheld=withheld),
        runs.RunWithAnswerOut.from_run(run, queue_position=queued, is_withheld=withheld),
        runs.RunEventOut.from_event(awkward(RunEvent, chance), is_withheld=withheld),
        feedback.FeedbackOut.from_entry(entry, reader),
        feedback.FeedbackWithAnswerOut.from_entry(entry, reader),
        shares.ShareOut.from_share(awkward(Share, chance), chance.choice([None, "https://leadline.example/"])),
        mcp.CheckedAnswerOut.from_answer(shown),
        mcp.AskedOut.from_run(runs.RunWithAnswerOut.from_run(replace(run, state=RunState.RUNNING))),
    ]


def _documents(chance: Random) -> list[BaseModel]:
    document, strategy = awkward(Document, chance), chance.choice([None, *StrategyName])
    settings = awkward(CollectionSettings, chance, default_strategy=strategy)
    principal = awkward(Principal, chance, collections=OPEN_ACCESS)
    table, row = awkward(RecordTable, chance), awkward(RecordRow, chance, values=(TEXT, None, 1.5))
    return [
        collections.CollectionOut.from_collection(awkward(Collection, chance, settings=settings), principal),
        collections.CollectionDeletionOut.from_records(awkward(CollectionDeletion, chance)),
        batches.BatchOut.from_progress(awkward(BatchProgress, chance)),
        batches.BatchFailureOut.from_failure(awkward(BatchFailure, chance)),
        content.TableOut.from_table(table, TEXT),
        content.RecordOut.from_row(row, ("a", "b", "c"), ("c", "a"), 2),
        bulk.BulkPlanOut.from_totals(awkward(ListingTotal, chance), 9, TEXT),
        listings.VersionOut.from_version(awkward(Version, chance), document),
        documents.DocumentOut.from_document(document, chance.choice([None, awkward(DocumentProgress, chance)])),
        cards.CardOut.from_card(awkward(DocumentCard, chance)),
        cards.FacetsOut.from_counts({CardField.KIND: [awkward(FacetCount, chance)]}),
        documents.DeletionOut.from_deletion(awkward(Deletion, chance)),
        mcp.ListedDocumentOut.from_document(document, TEXT),
    ]


def _searches(chance: Random) -> list[BaseModel]:
    rewritten = awkward(RewriteOutcome, chance, how=chance.choice(list(Rewrite)))
    hit = awkward(Hit, chance)
    return [
        searches.HitOut.from_hit(hit),
        searches.SearchOut.from_result(TEXT, awkward(SearchResult, chance), chance.choice([None, rewritten])),
        searches.UnreadableOut.from_records(awkward(UnreadableDocument, chance)),
        searches.RerankedOut.from_reranked(awkward(RerankOutcome, chance)),
        mcp.PassageOut.from_hit(hit, TEXT),
    ]


def _others(chance: Random) -> list[BaseModel]:
    totals = {state: awkward(StateTotal, chance) for state in VersionState}
    webhook = awkward(Webhook, chance)
    return [
        QuotaOut.from_status(awkward(QuotaStatus, chance)),
        status.StatusOut.from_totals(
            totals, {TEXT: 1}, awkward(CacheCounts, chance), status.LanguageModelOut(model=TEXT, is_built_in=True)
        ),
        usage.KeyUsageOut.from_day(awkward(UsageDay, chance)),
        usage.CollectionUsageOut.from_records(awkward(CollectionUsage, chance)),
        usage.ChannelUsageOut.from_records(awkward(ChannelDay, chance)),
        webhooks.WebhookOut.from_records(webhook),
        webhooks.NewWebhookOut.from_webhook((webhook, TEXT)),
        webhooks.DeliveryOut.from_delivery(awkward(Delivery, chance, body=json.dumps(ANYTHING))),
        sources.SourceOut.from_source(awkward(SourceRecord, chance, options={TEXT: ANYTHING})),
        sources.SyncOut.from_sync(awkward(Sync, chance)),
        sources.SyncedItemOut.from_item(awkward(SourceItemRecord, chance)),
        sources.SourceItemOut.from_item(awkward(SourceItem, chance)),
    ]


if __name__ == "__main__":
    shown = {seed: {name: made.model_dump_json() for name, made in make_models(seed).items()} for seed in SEEDS}
    RECORDED.write_text(json.dumps(shown, indent=1) + "\n", encoding="utf-8")
