"""Webhooks and their messages on each database: written with the change, leased, tried again, and given up."""

import json
import time
from contextlib import suppress

import pytest
from sqlalchemy import Engine, func, select, update

from ingest.storage.answers.conversations import store_answer
from ingest.storage.answers.feedback import Feedback
from ingest.storage.answers.feedback_records import Rating, Verdict
from ingest.storage.answers.records import StoredAnswer
from ingest.storage.answers.run_log import RunLog
from ingest.storage.answers.run_records import RunRequest
from ingest.storage.answers.runs import Runs
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import Audit, AuditFilter
from ingest.storage.db.database import read_transaction, write_transaction
from ingest.storage.db.schema import jobs as job_rows
from ingest.storage.db.schema import webhook_deliveries as rows
from ingest.storage.db.schema import webhooks as webhook_rows
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import EmbedReport, IngestReport
from ingest.storage.errors import WebhookNotFoundError, WebhooksFullError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.operations.expiry import Expiry
from ingest.storage.operations.retention import Retention
from ingest.storage.operations.tenant_data import TenantRemoval, iter_exported_rows
from ingest.storage.queue.records import Failure, JobKind
from ingest.storage.webhooks.outbox import Outbox, publish_event
from ingest.storage.webhooks.records import (
    MAX_WEBHOOKS,
    RETRY_SECONDS,
    DeliveryResult,
    DeliveryState,
    DueDelivery,
    EventType,
    Webhook,
)
from ingest.storage.webhooks.store import Webhooks
from tests.support.catalogs import arrive

ALL = tuple(EventType)
URL = "https://example.org/hook"


@pytest.fixture
def webhooks(engine: Engine) -> Webhooks:
    return Webhooks(engine)


@pytest.fixture
def outbox(engine: Engine) -> Outbox:
    return Outbox(engine)


@pytest.fixture
def webhook(webhooks: Webhooks) -> Webhook:
    return webhooks.create("ann", URL, ALL)[0]


def tell(engine: Engine, *documents: str, tenant: str = "ann") -> None:
    with write_transaction(engine) as connection:
        subjects = [{"document": document} for document in documents]
        publish_event(connection, tenant, EventType.DOCUMENT_DELETED, subjects)


def told(webhooks: Webhooks, webhook: Webhook) -> list[tuple[str, dict[str, str]]]:
    """The types and subjects of what a webhook was told, oldest first."""
    found = webhooks.list_deliveries(webhook.tenant_id, webhook.id)
    return [(each.type, json.loads(each.body)["data"]) for each in reversed(found)]


def claim(outbox: Outbox, **how: int) -> list[DueDelivery]:
    return outbox.claim_due_messages(lease_seconds=60.0, **how)


def again(engine: Engine, **values: float) -> None:
    """Make the next try due at once."""
    with write_transaction(engine) as connection:
        connection.execute(update(rows).values(not_before=0.0, **values))


def test_a_message_is_there_if_its_change_was_committed_and_only_then(
    engine: Engine, webhooks: Webhooks, webhook: Webhook
) -> None:
    with suppress(RuntimeError), write_transaction(engine) as connection:
        publish_event(connection, "ann", EventType.DOCUMENT_DELETED, [{"document": "one"}])
        raise RuntimeError
    assert told(webhooks, webhook) == []
    tell(engine, "two", "three")
    assert told(webhooks, webhook) == [
        ("document.deleted", {"document": "two"}),
        ("document.deleted", {"document": "three"}),
    ]


def test_a_webhook_is_told_once_of_the_same_of_its_own_tenant_and_of_what_it_wants(
    engine: Engine, webhooks: Webhooks, webhook: Webhook
) -> None:
    runs_only, _ = webhooks.create("ann", URL, [EventType.RUN_FAILED])
    foreign, _ = webhooks.create("bob", URL, ALL)
    disabled, _ = webhooks.create("ann", URL, ALL)
    webhooks.change("ann", disabled.id, {"disabled": True})
    tell(engine, "one")
    tell(engine, "one")
    assert len(told(webhooks, webhook)) == 1
    assert [told(webhooks, each) for each in (runs_only, foreign, disabled)] == [[], [], []]


def test_documents_tell_when_they_are_ready_have_failed_or_were_deleted(
    catalog: Catalog, jobs: Jobs, webhooks: Webhooks, webhook: Webhook
) -> None:
    good, bad = arrive(catalog, "good"), arrive(catalog, "bad")
    for job in jobs.claim(JobKind.INGEST, limit=2):
        if job.document_id == bad.id:
            jobs.fail(job, Failure("damaged_document", "Secret words stand here.", "Mend it."))
        else:
            jobs.finish_ingest([IngestReport(job, "A title", None, 10, 1)])
    (embed,) = jobs.claim(JobKind.EMBED, limit=1)
    jobs.finish_embed([EmbedReport(embed, 5, 0, 1)])
    catalog.delete_document("ann", good.id)
    assert sorted(told(webhooks, webhook), key=lambda each: each[0]) == [
        ("document.deleted", {"document": good.id}),
        ("document.failed", {"version": bad.version.id, "document": bad.id, "code": "damaged_document"}),
        ("document.ready", {"version": good.version.id, "document": good.id}),
    ]
    with read_transaction(webhooks._engine) as connection:
        bodies = " ".join(connection.execute(select(rows.c.body)).scalars())
    assert "Secret" not in bodies
    assert "A title" not in bodies


def test_runs_tell_how_they_ended(engine: Engine, jobs: Jobs, webhooks: Webhooks, webhook: Webhook) -> None:
    runs = Runs(engine)
    cancelled, _ = runs.create(RunRequest("ann", "Which?"))
    runs.cancel("ann", cancelled.id)
    failed, _ = runs.create(RunRequest("ann", "Who?"))
    (job,) = jobs.claim(JobKind.RUN, limit=1)
    jobs.fail(job, Failure("worker_lost", "It is gone.", ""))
    assert told(webhooks, webhook) == [
        ("run.cancelled", {"run": cancelled.id, "state": "cancelled"}),
        ("run.failed", {"run": failed.id, "state": "failed", "code": "worker_lost"}),
    ]


def test_a_run_that_waits_for_a_person_tells_so_each_time(
    engine: Engine, jobs: Jobs, webhooks: Webhooks, webhook: Webhook
) -> None:
    run, _ = Runs(engine).create(RunRequest("ann", "Which?"))
    log = RunLog(engine)
    for _ in range(2):
        (job,) = jobs.claim(JobKind.RUN, limit=1)
        log.start_run(job)
        log.pause_run(job, "Its calls are used up.", "calls", seconds=1.0)
        with write_transaction(engine) as connection:
            connection.execute(update(job_rows).values(state="queued"))
    assert told(webhooks, webhook) == [("run.paused", {"run": run.id, "state": "paused", "resource": "calls"})] * 2


def test_feedback_tells_of_its_answer_and_of_each_change(engine: Engine, webhooks: Webhooks, webhook: Webhook) -> None:
    kept = StoredAnswer("a", "ann", None, None, "Which?", {"text": "", "sentences": [], "citations": []}, (), 0.0)
    with write_transaction(engine) as connection:
        store_answer(connection, kept)
    clock = iter((1.0, 2.0))
    feedback = Feedback(engine, clock=lambda: next(clock))
    for rating in (Rating.UP, Rating.DOWN):
        given = feedback.record_feedback("ann", "a", "user:ann", Verdict(rating, "Secret words."))
    assert told(webhooks, webhook) == [
        ("feedback.given", {"feedback": given.id, "answer": "a", "rating": rating.value})
        for rating in (Rating.UP, Rating.DOWN)
    ]


def test_one_sender_holds_a_message_at_a_time_and_a_lost_one_is_followed_by_another(
    engine: Engine, outbox: Outbox, webhook: Webhook
) -> None:
    tell(engine, "one")
    (first,) = claim(outbox)
    assert claim(outbox) == []
    again(engine, lease_until=time.time() - 1)
    (second,) = claim(outbox)
    assert (second.id, second.attempt) == (first.id, 2)
    outbox.record_result(first, DeliveryResult(200), disable_days=5)  # too late: another one sends it
    assert claim(outbox) == []
    outbox.record_result(second, DeliveryResult(200), disable_days=5)
    again(engine)
    assert claim(outbox) == []


def test_a_receiver_with_many_messages_holds_up_no_other(engine: Engine, webhooks: Webhooks, outbox: Outbox) -> None:
    busy, _ = webhooks.create("ann", URL, ALL)
    quiet, _ = webhooks.create("bob", URL, ALL)
    tell(engine, *map(str, range(50)))
    tell(engine, "one", tenant="bob")
    claimed = claim(outbox, limit_per_webhook=3)
    assert sorted(due.webhook_id for due in claimed) == sorted([busy.id] * 3 + [quiet.id])
    assert len(claim(outbox, limit=2)) == 2


def test_tries_follow_the_schedule_until_they_are_used_up(
    engine: Engine, webhooks: Webhooks, outbox: Outbox, webhook: Webhook
) -> None:
    tell(engine, "one")
    for pause in RETRY_SECONDS:
        (due,) = claim(outbox)
        begun = time.time()
        outbox.record_result(due, DeliveryResult(500, "It broke."), disable_days=5)
        (delivery,) = webhooks.list_deliveries("ann", webhook.id)
        assert (delivery.state, delivery.status, delivery.detail) == (DeliveryState.PENDING, 500, "It broke.")
        assert delivery.next_at is not None
        assert begun + pause - 0.01 <= delivery.next_at <= time.time() + 1.1 * pause + 0.01
        again(engine)
    (due,) = claim(outbox)
    outbox.record_result(due, DeliveryResult(None, "No response received."), disable_days=5)
    (delivery,) = webhooks.list_deliveries("ann", webhook.id, states=[DeliveryState.FAILED])
    assert (delivery.attempts, delivery.next_at) == (len(RETRY_SECONDS) + 1, None)
    assert claim(outbox) == []


def test_a_receiver_that_asks_for_time_gets_it(
    engine: Engine, webhooks: Webhooks, outbox: Outbox, webhook: Webhook
) -> None:
    tell(engine, "one")
    (due,) = claim(outbox)
    outbox.record_result(due, DeliveryResult(429, wait_seconds=3_000.0), disable_days=5)
    (delivery,) = webhooks.list_deliveries("ann", webhook.id)
    assert delivery.next_at is not None
    assert delivery.next_at - time.time() > 2_900


def test_a_webhook_is_disabled_when_nothing_has_arrived_for_days_and_enabled_with_what_it_missed(
    engine: Engine, webhooks: Webhooks, outbox: Outbox, webhook: Webhook
) -> None:
    tell(engine, "one", "two")
    first, second = claim(outbox)
    outbox.record_result(first, DeliveryResult(500), disable_days=5)
    since = webhooks.load_webhook("ann", webhook.id).failing_since
    assert since is not None
    with write_transaction(engine) as connection:
        connection.execute(update(webhook_rows).values(failing_since=since - 5.1 * 86_400))
    outbox.record_result(second, DeliveryResult(503), disable_days=5)
    found = webhooks.load_webhook("ann", webhook.id)
    assert found.disabled_at is not None
    assert found.disabled_reason == "No message was delivered for 5.1 days; the last response was 503."
    (entry,) = Audit(engine).list_latest(AuditFilter("ann", action=Action.WEBHOOK_DISABLED))
    assert entry.object == f"webhook:{webhook.id}"
    again(engine)
    assert claim(outbox) == []
    assert webhooks.change("ann", webhook.id, {"disabled": False}).failing_since is None
    assert len(claim(outbox)) == 2


def test_what_arrives_ends_the_count_of_what_does_not(
    engine: Engine, webhooks: Webhooks, outbox: Outbox, webhook: Webhook
) -> None:
    tell(engine, "one", "two")
    first, second = claim(outbox)
    outbox.record_result(first, DeliveryResult(500), disable_days=5)
    outbox.record_result(second, DeliveryResult(204), disable_days=5)
    assert webhooks.load_webhook("ann", webhook.id).failing_since is None


def test_a_receiver_that_is_gone_is_told_no_more(
    engine: Engine, webhooks: Webhooks, outbox: Outbox, webhook: Webhook
) -> None:
    tell(engine, "one")
    outbox.record_result(claim(outbox)[0], DeliveryResult(410), disable_days=5)
    assert "410" in str(webhooks.load_webhook("ann", webhook.id).disabled_reason)


def test_a_message_is_sent_again_with_its_id_whatever_became_of_it(
    engine: Engine, webhooks: Webhooks, outbox: Outbox, webhook: Webhook
) -> None:
    tell(engine, "one")
    (due,) = claim(outbox)
    outbox.record_result(due, DeliveryResult(200), disable_days=5)
    assert webhooks.resend_message("ann", webhook.id, due.id).state is DeliveryState.PENDING
    (repeated,) = claim(outbox)
    assert (repeated.id, repeated.attempt) == (due.id, 1)
    with pytest.raises(WebhookNotFoundError):
        webhooks.resend_message("bob", webhook.id, due.id)


def test_messages_are_signed_with_both_secrets_for_a_day_after_a_rotation(
    engine: Engine, webhooks: Webhooks, outbox: Outbox
) -> None:
    webhook, old = webhooks.create("ann", URL, ALL)
    _, new = webhooks.rotate_secret("ann", webhook.id)
    tell(engine, "one")
    assert claim(outbox)[0].secrets == (new, old)
    with write_transaction(engine) as connection:
        connection.execute(update(webhook_rows).values(previous_until=time.time() - 1))
    again(engine, lease_until=0.0)
    assert claim(outbox)[0].secrets == (new,)


def test_a_deleted_webhook_takes_its_messages_along(engine: Engine, webhooks: Webhooks, webhook: Webhook) -> None:
    tell(engine, "one")
    webhooks.delete("ann", webhook.id)
    with read_transaction(engine) as connection:
        assert connection.execute(select(func.count()).select_from(rows)).scalar_one() == 0
    with pytest.raises(WebhookNotFoundError):
        webhooks.load_webhook("ann", webhook.id)
    tell(engine, "two")


def test_nobody_sees_or_changes_another_tenants(webhooks: Webhooks, webhook: Webhook) -> None:
    assert webhooks.list_webhooks("bob") == []
    for act in (
        webhooks.load_webhook,
        webhooks.rotate_secret,
        webhooks.delete,
        webhooks.send_test_message,
        webhooks.list_deliveries,
    ):
        with pytest.raises(WebhookNotFoundError):
            act("bob", webhook.id)
    with pytest.raises(WebhookNotFoundError):
        webhooks.change("bob", webhook.id, {"disabled": True})


def test_a_tenant_has_no_more_than_its_share(engine: Engine, webhooks: Webhooks) -> None:
    for _ in range(MAX_WEBHOOKS):
        webhooks.create("ann", URL, ALL)
    with pytest.raises(WebhooksFullError):
        webhooks.create("ann", URL, ALL)


def test_old_messages_go_and_a_deleted_tenants_are_not_sent(
    engine: Engine, webhooks: Webhooks, outbox: Outbox, webhook: Webhook
) -> None:
    tell(engine, "one")
    with write_transaction(engine) as connection:
        connection.execute(update(rows).values(created_at=time.time() - 31 * 86_400))
    assert Expiry(engine).delete_expired_records(Retention())["webhook messages"] == 1
    tell(engine, "two")
    TenantRemoval(engine).start_removal("ann")
    assert claim(outbox) == []


def test_exports_have_webhooks_and_no_secret(engine: Engine, webhooks: Webhooks) -> None:
    webhook, old = webhooks.create("ann", URL, ALL)
    _, new = webhooks.rotate_secret("ann", webhook.id)
    exported = list(iter_exported_rows(engine, webhook_rows, "ann"))
    assert [row["url"] for row in exported] == [URL]
    assert old not in str(exported)
    assert new not in str(exported)
