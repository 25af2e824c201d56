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
import api.documents.content_schemas as content
import api.documents.listing_schemas as listings
import api.documents.schemas as documents
import api.feedback.schemas as feedback
import api.mcp.schemas as mcp
import api.search.schemas as searches
import api.shares.schemas as shares
import api.status.schemas as status
import api.usage.schemas as usage
import api.webhooks.schemas as webhooks
from api.answers.schemas import AnswerOut
from api.http.wire import QuotaOut
from ingest.storage.accounts.grants import Grant
from ingest.storage.accounts.keys import ApiKey
from ingest.storage.accounts.records import OPEN, Principal
from ingest.storage.accounts.tenants import Tenant
from ingest.storage.accounts.users import User, UserAccess
from ingest.storage.answers.feedback_records import FeedbackEntry, Share
from ingest.storage.answers.records import Conversation
from ingest.storage.answers.run_records import Run, RunEvent, RunState
from ingest.storage.answers.usage import CollectionUsage
from ingest.storage.audit.records import AuditEntry, Verification
from ingest.storage.documents.batch_records import BatchFailure, BatchProgress
from ingest.storage.documents.collection_records import Collection, CollectionDeletion, CollectionSettings
from ingest.storage.documents.listing import ListTotal
from ingest.storage.documents.progress import Progress
from ingest.storage.documents.records import Deletion, Document, Version, VersionState
from ingest.storage.documents.rows import Total
from ingest.storage.quotas.records import Standing, UsageDay
from ingest.storage.slack.usage import ChannelDay
from ingest.storage.tables.types import RecordTable, Row
from ingest.storage.webhooks.records import Delivery, Webhook
from retrieval.search.query_cache import CacheCounts
from retrieval.search.requests import Rewrite
from retrieval.search.reranking import Reranked
from retrieval.search.rewriting import Rewritten
from retrieval.search.search import Hit, SearchResult, Unreadable
from rlm.answers import Answer, AnswerStatus, Coverage, Searched, kept_answer
from rlm.requests import StrategyName
from tests.support.awkward_records import ANYTHING, TEXT, awkward

ANSWER = Answer(AnswerStatus.ANSWERED, TEXT, (), (), "recursive", None, Searched(0, 0, ()))


RECORDED = Path(__file__).with_suffix(".json")
SEEDS = ("1", "2", "3")


def make_models(seed: str) -> dict[str, BaseModel]:
    """Make each model, by its name, of records that the seed decides."""
    chance = Random(seed)
    made = [*_accounts(chance), *_answers(chance), *_documents(chance), *_searches(chance), *_others(chance)]
    return {type(each).__name__: each for each in made}


def _accounts(chance: Random) -> list[BaseModel]:
    principal, key = awkward(Principal, chance, collections=OPEN), awkward(ApiKey, chance)
    return [
        accounts.TenantOut.from_records(awkward(Tenant, chance)),
        accounts.UserOut.of(awkward(User, chance), awkward(UserAccess, chance)),
        accounts.KeyOut.of(key),
        accounts.NewKeyOut.issued((key, TEXT)),
        accounts.PrincipalOut.from_records(principal),
        accounts.GrantOut.from_records(awkward(Grant, chance)),
        sessions.SessionOut.of(principal, chance.choice([None, "secret"])),
        audit.AuditEntryOut.from_records(awkward(AuditEntry, chance)),
        audit.VerificationOut.of(awkward(Verification, chance)),
    ]


def _answers(chance: Random) -> list[BaseModel]:
    answer = replace(kept_answer(ANSWER, "id", "ann", TEXT, None), created_at=0.25, turn=chance.choice([None, 3]))
    body = chance.choice([None, answer.body, {**answer.body, "coverage": asdict(awkward(Coverage, chance))}])
    run, queued = awkward(Run, chance, answer=body), chance.choice([None, 2])
    entry = awkward(FeedbackEntry, chance)
    reader, withheld = chance.choice([TEXT, entry.author]), chance.random() < 0.3
    shown = AnswerOut.of(answer)
    return [
        conversations.ConversationOut.of(awkward(Conversation, chance)),
        conversations.TurnOut.of(answer, ()),
        runs.RunOut.of(run, queue_position=queued, withheld=withheld),
        runs.RunWithAnswerOut.of(run, queue_position=queued, withheld=withheld),
        runs.RunEventOut.of(awkward(RunEvent, chance), withheld=withheld),
        feedback.FeedbackOut.of(entry, reader),
        feedback.FeedbackWithAnswerOut.of(entry, reader),
        shares.ShareOut.of(awkward(Share, chance), chance.choice([None, "https://leadline.example/"])),
        mcp.CheckedAnswerOut.of(shown),
        mcp.AskedOut.of(runs.RunWithAnswerOut.of(replace(run, state=RunState.RUNNING))),
    ]


def _documents(chance: Random) -> list[BaseModel]:
    document, strategy = awkward(Document, chance), chance.choice([None, *StrategyName])
    settings = awkward(CollectionSettings, chance, default_strategy=strategy)
    principal = awkward(Principal, chance, collections=OPEN)
    table, row = awkward(RecordTable, chance), awkward(Row, chance, values=(TEXT, None, 1.5))
    return [
        collections.CollectionOut.of(awkward(Collection, chance, settings=settings), principal),
        collections.CollectionDeletionOut.from_records(awkward(CollectionDeletion, chance)),
        batches.BatchOut.of(awkward(BatchProgress, chance)),
        batches.BatchFailureOut.of(awkward(BatchFailure, chance)),
        content.TableOut.of(table, TEXT),
        content.RecordOut.of(row, ("a", "b", "c"), ("c", "a")),
        listings.BulkPlanOut.of(awkward(ListTotal, chance), 9, TEXT),
        listings.VersionOut.of(awkward(Version, chance), document),
        documents.DocumentOut.of(document, chance.choice([None, awkward(Progress, chance)])),
        documents.DeletionOut.of(awkward(Deletion, chance)),
        mcp.ListedDocumentOut.of(document),
    ]


def _searches(chance: Random) -> list[BaseModel]:
    rewritten = awkward(Rewritten, chance, how=chance.choice(list(Rewrite)))
    hit = awkward(Hit, chance)
    return [
        searches.HitOut.of(hit),
        searches.SearchOut.of(TEXT, awkward(SearchResult, chance), chance.choice([None, rewritten])),
        searches.UnreadableOut.from_records(awkward(Unreadable, chance)),
        searches.RerankedOut.of(awkward(Reranked, chance)),
        mcp.PassageOut.of(hit),
    ]


def _others(chance: Random) -> list[BaseModel]:
    totals = {state: awkward(Total, chance) for state in VersionState}
    webhook = awkward(Webhook, chance)
    return [
        QuotaOut.of_standing(awkward(Standing, chance)),
        status.StatusOut.of(totals, {TEXT: 1}, awkward(CacheCounts, chance)),
        usage.KeyUsageOut.of_day(awkward(UsageDay, chance)),
        usage.CollectionUsageOut.from_records(awkward(CollectionUsage, chance)),
        usage.ChannelUsageOut.from_records(awkward(ChannelDay, chance)),
        webhooks.WebhookOut.from_records(webhook),
        webhooks.NewWebhookOut.issued((webhook, TEXT)),
        webhooks.DeliveryOut.of(awkward(Delivery, chance, body=json.dumps(ANYTHING))),
    ]


if __name__ == "__main__":
    shown = {seed: {name: made.model_dump_json() for name, made in make_models(seed).items()} for seed in SEEDS}
    RECORDED.write_text(json.dumps(shown, indent=1) + "\n", encoding="utf-8")
