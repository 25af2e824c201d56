"""Quotas in the catalog: reserved, settled, given back, renewed, and counted for what is stored."""

import calendar
import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

import pytest
from sqlalchemy import Engine, func, insert, select

from api.admission.meter import Meter
from api.admission.request_rates import RequestRateLimiter
from ingest.storage.accounts.keys import ApiKeys
from ingest.storage.answers.run_log import RunLog
from ingest.storage.answers.run_records import QuotaRequest, Run, RunLogEntry, RunRequest, RunSpending, RunState
from ingest.storage.answers.runs import Runs
from ingest.storage.db.database import open_database, write_transaction
from ingest.storage.db.schema import api_keys, documents, stored_content, versions
from ingest.storage.documents.catalog import AcceptedUpload, Catalog
from ingest.storage.documents.records import Document, VersionState
from ingest.storage.errors import CatalogUnavailableError, DocumentNotFoundError, DocumentStateError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import Failure, JobKind
from ingest.storage.quotas.records import (
    NANODOLLARS,
    Account,
    Quota,
    QuotaExceededError,
    Spending,
    StorageQuotaExceededError,
)
from ingest.storage.quotas.rows import charge_lost_reservation
from ingest.storage.quotas.store import QuotaRules, Quotas, SpendingGrant
from rlm.llm.budgets import Limits
from rlm.requests import AnswerOptions
from tests.support.catalogs import arrival, at_once, embedded, lapse, searchable

KEY, OTHER = Account("ann", "k1"), Account("ann", "k2")
TENANT = Account("ann")


class Calendar:
    """A clock that stands where it is put, as the catalog asks it."""

    def __init__(self, day: str) -> None:
        self.at(day)

    def at(self, day: str) -> None:
        """Noon of a day."""
        year, month, number = map(int, day.split("-"))
        self.now = float(calendar.timegm((year, month, number, 12, 0, 0)))

    def __call__(self, connection: object) -> float:
        return self.now


@pytest.fixture
def today() -> Calendar:
    return Calendar("2026-11-27")


@pytest.fixture
def quotas(engine: Engine, today: Calendar) -> Quotas:
    return Quotas(engine, clock=today)


Reserve = Callable[..., SpendingGrant]


@pytest.fixture
def reserve(quotas: Quotas) -> Reserve:
    """Reserves an answer's tokens and nanodollars; ids are numbers."""
    numbers = iter(range(10_000))

    def reserve(tokens: int | None = 100, nanodollars: int | None = 0, account: Account = KEY) -> SpendingGrant:
        return quotas.reserve(account, "answer", f"a{next(numbers)}", tokens=tokens, nanodollars=nanodollars)

    return reserve


def patiently(reserve: Callable[[], SpendingGrant]) -> SpendingGrant:
    """Try again, as clients do, while the database has no connection left, which on a busy machine takes a while."""
    while True:
        with suppress(CatalogUnavailableError):
            return reserve()


def settle(quotas: Quotas, granted: SpendingGrant, tokens: int, account: Account = KEY, reported: int = 0) -> None:
    spent, before = Spending(1, tokens, 0, tokens * 1_000), Spending(int(reported > 0), reported, 0, reported * 1_000)
    quotas.charge(account, "answer", granted.id, spent, reported_spending=before)


def used(quotas: Quotas, quota: Quota, account: Account = KEY, of: str = "tenant") -> int:
    (standing,) = [each for each in quotas.load_statuses(account) if each.quota is quota and each.of == of]
    return standing.used


@pytest.mark.parametrize("of", [TENANT, KEY])
def test_200_requests_at_once_reserve_exactly_what_there_is(quotas: Quotas, reserve: Reserve, of: Account) -> None:
    quotas.set_limits(of, {Quota.TOKENS_PER_DAY: 1_000})
    ends = at_once(*[partial(patiently, partial(reserve, 30))] * 200)
    granted = [end for end in ends if isinstance(end, SpendingGrant)]
    assert sorted(each.tokens or 0 for each in granted) == [10, *[30] * 33]
    assert sum(isinstance(end, QuotaExceededError) for end in ends) == 200 - 34
    for each in granted:
        settle(quotas, each, each.tokens or 0)
    assert used(quotas, Quota.TOKENS_PER_DAY, of="key" if of.key_id else "tenant") == 1_000


def test_what_is_not_limited_is_granted_without_a_limit_and_counted_all_the_same(
    quotas: Quotas, reserve: Reserve
) -> None:
    granted = reserve(None, None)
    assert (granted.tokens, granted.nanodollars, granted.lowered, granted.standings) == (None, None, None, [])
    settle(quotas, granted, 70)
    (day,) = quotas.list_usage("ann", skip=0, limit=10)
    assert (day.day, day.key_id, day.answers, day.calls, day.prompt_tokens) == ("2026-11-27", "k1", 1, 1, 70)


def test_who_wants_more_than_is_left_gets_what_is_left_and_the_reason(quotas: Quotas, reserve: Reserve) -> None:
    quotas.set_limits(TENANT, {Quota.TOKENS_PER_DAY: 150, Quota.DOLLARS_PER_MONTH: 2 * NANODOLLARS})
    reserve(100, NANODOLLARS)
    lowered = reserve(None, None)
    assert (lowered.tokens, lowered.nanodollars) == (50, NANODOLLARS)
    assert lowered.lowered is not None
    assert lowered.lowered.standing.quota is Quota.TOKENS_PER_DAY
    with pytest.raises(QuotaExceededError) as refused:
        reserve(1)
    assert refused.value.retry_after_seconds == 10.0  # all of it is reserved, and some of it will come back
    settle(quotas, lowered, 20)
    assert reserve(None).tokens == 30


def test_a_key_is_held_to_its_own_limit_and_to_its_tenants(quotas: Quotas, reserve: Reserve) -> None:
    quotas.set_limits(TENANT, {Quota.TOKENS_PER_DAY: 100})
    quotas.set_limits(KEY, {Quota.TOKENS_PER_DAY: 60})
    assert reserve(None, account=KEY).tokens == 60
    with pytest.raises(QuotaExceededError, match="The key's quota"):
        reserve(1, account=KEY)
    assert reserve(None, account=OTHER).tokens == 40
    with pytest.raises(QuotaExceededError, match="The tenant's quota"):
        reserve(1, account=OTHER)
    assert reserve(None, account=Account("bob")).tokens is None


def test_a_model_without_a_price_spends_no_dollars_even_if_none_are_left(quotas: Quotas, reserve: Reserve) -> None:
    quotas.set_limits(TENANT, {Quota.DOLLARS_PER_DAY: 0})
    assert reserve(None, 0).nanodollars == 0
    with pytest.raises(QuotaExceededError):
        reserve(None, 1)


def test_a_day_and_a_month_are_renewed_when_they_are_over(quotas: Quotas, reserve: Reserve, today: Calendar) -> None:
    quotas.set_limits(TENANT, {Quota.TOKENS_PER_DAY: 100, Quota.TOKENS_PER_MONTH: 250})
    today.at("2026-11-28")
    for day, left in (("2026-11-28", 100), ("2026-11-29", 100), ("2026-11-30", 50)):
        today.at(day)
        granted = reserve(None)
        assert granted.tokens == left
        settle(quotas, granted, left)
    with pytest.raises(QuotaExceededError) as refused:
        reserve(1)
    assert refused.value.standing.quota is Quota.TOKENS_PER_MONTH
    assert refused.value.standing.renews_at == today.now + 12 * 3600
    assert refused.value.retry_after_seconds == 12 * 3600
    assert "resets at 2026-12-01 00:00Z" in refused.value.detail
    today.at("2026-12-01")
    assert reserve(None).tokens == 100
    today.at("2026-12-31")
    assert next(iter(quotas.load_statuses(TENANT))).renews_at == calendar.timegm((2027, 1, 1, 0, 0, 0))


def test_what_is_under_way_at_midnight_counts_on_both_days(quotas: Quotas, reserve: Reserve, today: Calendar) -> None:
    quotas.set_limits(TENANT, {Quota.TOKENS_PER_DAY: 100})
    granted = quotas.reserve(KEY, "run", "r", tokens=80, nanodollars=0)
    today.now += 12 * 3600
    quotas.extend_reservations({"r": Spending()})
    assert reserve(None).tokens == 20
    quotas.charge(KEY, "run", granted.id, Spending(1, 80, 0, 0), reported_spending=Spending())
    assert used(quotas, Quota.TOKENS_PER_DAY) == 100


def test_the_reservation_of_a_process_that_died_is_given_back_but_for_what_it_had_reported(
    quotas: Quotas, reserve: Reserve, today: Calendar
) -> None:
    quotas.set_limits(TENANT, {Quota.TOKENS_PER_DAY: 100})
    late = reserve(100)
    today.now += 50
    quotas.extend_reservations({late.id: Spending(1, 30, 0, 30_000)})
    today.now += 59
    with pytest.raises(QuotaExceededError):
        reserve(1)
    today.now += 2
    assert reserve(None).tokens == 70
    settle(quotas, late, 45, reported=30)  # it was not dead after all: the rest is charged, and nothing twice
    assert used(quotas, Quota.TOKENS_PER_DAY) == 45 + 70
    (day,) = quotas.list_usage("ann", skip=0, limit=10)
    assert (day.answers, day.calls, day.prompt_tokens, day.nanodollars) == (1, 1, 45, 45_000)


class ObservedQuotas(Quotas):
    """Releases `extended` whenever reservations were extended."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, lease_seconds=0.3)
        self.extended = threading.Semaphore(0)

    def extend_reservations(self, spending: Mapping[str, Spending]) -> set[str]:
        found = super().extend_reservations(spending)
        self.extended.release()
        return found


def test_work_whose_reservation_was_released_as_lost_is_charged_for_everything_it_spends(engine: Engine) -> None:
    quotas = ObservedQuotas(engine)
    quotas.set_limits(TENANT, {Quota.TOKENS_PER_DAY: 1_000})
    meter = Meter(quotas, RequestRateLimiter(), answer_tokens=100, model_is_free=True)
    work = meter.reserve_answer(KEY, AnswerOptions())
    with write_transaction(engine) as connection:
        charge_lost_reservation(connection, "ann", work.granted.id)
    work.build_budget(Limits(), None).charge(calls=1, prompt_tokens=30, completion_tokens=0)
    for _ in range(2):  # One may have been under way.
        assert quotas.extended.acquire(timeout=60)
    meter.settle_work(work)
    meter.close()
    assert used(quotas, Quota.TOKENS_PER_DAY) == 30


def test_a_lease_that_runs_out_while_another_is_made_is_either_held_or_charged(engine: Engine) -> None:
    instants = iter([1_000.0, 1_059.0, *[1_061.0] * 9])
    quotas = Quotas(engine, lease_seconds=60.0, clock=lambda connection: next(instants))
    quotas.set_limits(TENANT, {Quota.TOKENS_PER_MONTH: 100})
    quotas.reserve(KEY, "answer", "first", tokens=None, nanodollars=0)
    with pytest.raises(QuotaExceededError):
        quotas.reserve(KEY, "answer", "next", tokens=None, nanodollars=0)
    assert quotas.reserve(KEY, "answer", "later", tokens=None, nanodollars=0).tokens == 100


def reserve_and_die(url: str) -> None:
    """In a process of its own: reserve everything, report a part as spent, and be killed."""
    quotas = Quotas(open_database(url), lease_seconds=1.0)
    quotas.reserve(KEY, "answer", "killed", tokens=None, nanodollars=0)
    quotas.extend_reservations({"killed": Spending(1, 20, 5, 0)})
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_killed_between_reserving_and_settling_holds_nothing_for_good(
    engine: Engine, catalog_url: str
) -> None:
    quotas = Quotas(engine)
    quotas.set_limits(TENANT, {Quota.TOKENS_PER_MONTH: 100})
    process = multiprocessing.get_context("spawn").Process(target=reserve_and_die, args=(catalog_url,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    granted: SpendingGrant | None = None
    while granted is None:  # the suite's time limit bounds the wait for the lease's end
        with suppress(QuotaExceededError):
            granted = quotas.reserve(KEY, "answer", "next", tokens=None, nanodollars=0)
        threading.Event().wait(0.05)
    assert granted.tokens == 75


def test_places_for_answers_and_runs_are_counted_apart(quotas: Quotas, reserve: Reserve) -> None:
    quotas.set_limits(KEY, {Quota.ANSWERS_AT_ONCE: 2, Quota.RUNS_AT_ONCE: 1})
    ends = at_once(*[reserve] * 20)
    granted = [end for end in ends if isinstance(end, SpendingGrant)]
    assert len(granted) == 2
    quotas.reserve(KEY, "run", "r", tokens=1, nanodollars=0)
    with pytest.raises(QuotaExceededError, match="runs_at_once"):
        quotas.reserve(KEY, "run", "s", tokens=1, nanodollars=0)
    settle(quotas, granted[0], 1)
    reserve()


def test_a_limit_that_is_set_goes_before_the_default_until_it_is_reset(engine: Engine, today: Calendar) -> None:
    quota = Quota.TOKENS_PER_DAY
    quotas = Quotas(engine, tenant_defaults={quota: 10}, key_defaults={quota: 5}, clock=today)
    assert quotas.load_limits(KEY) == {"tenant": {quota: 10}, "key": {quota: 5}}
    quotas.set_limits(TENANT, {quota: None})
    quotas.set_limits(KEY, {quota: 7})
    assert quotas.load_limits(KEY) == {"tenant": {}, "key": {quota: 7}}
    assert quotas.load_limits(OTHER) == {"tenant": {}, "key": {quota: 5}}
    quotas.reset_limits(TENANT, [quota])
    assert quotas.load_limits(TENANT) == {"tenant": {quota: 10}}


def test_a_rotated_keys_limits_are_those_of_the_key_in_its_place(engine: Engine, quotas: Quotas) -> None:
    keys = ApiKeys(engine)
    key, _ = keys.issue_key("ann", "a key")
    quotas.set_limits(Account("ann", key.id), {Quota.TOKENS_PER_DAY: 5, Quota.BYTES: None})
    successor, _ = keys.rotate_key("ann", key.id)
    limits = quotas.load_limits(Account("ann", successor.id))
    assert limits["key"] == {Quota.TOKENS_PER_DAY: 5}


def test_a_rotated_key_and_its_successor_have_the_quotas_of_one_key(engine: Engine, quotas: Quotas) -> None:
    keys, catalog = ApiKeys(engine), Catalog(engine, quotas=quotas.rules)
    key, _ = keys.issue_key("ann", "a key")
    old = Account("ann", key.id)
    quotas.set_limits(old, {Quota.DOCUMENTS: 2, Quota.TOKENS_PER_DAY: 100})
    first = catalog.accept_upload(arrival("one", key=key.id)).document
    granted = quotas.reserve(old, "answer", "a", tokens=60, nanodollars=0)
    new = Account("ann", keys.rotate_key("ann", key.id)[0].id)
    of_new = {each.quota: each.used for each in quotas.load_statuses(new) if each.of == "key"}
    assert of_new == {Quota.DOCUMENTS: 1, Quota.TOKENS_PER_DAY: granted.tokens}
    catalog.accept_upload(arrival("two", key=new.key_id))
    for account in (old, new):
        with pytest.raises(StorageQuotaExceededError, match="2"):
            catalog.accept_upload(arrival("three", key=account.key_id))
    catalog.delete_document("ann", first.id)
    catalog.accept_upload(arrival("three", key=new.key_id))
    with pytest.raises(StorageQuotaExceededError):
        catalog.accept_upload(arrival("four", key=key.id))


def test_usage_is_listed_by_day_and_key_a_page_at_a_time(quotas: Quotas, reserve: Reserve, today: Calendar) -> None:
    for day in ("2026-11-01", "2026-11-02"):
        today.at(day)
        for account in (KEY, OTHER, Account("bob", "b")):
            settle(quotas, reserve(account=account), 5, account)
    found = [(day.day[-2:], day.key_id) for skip in (0, 3) for day in quotas.list_usage("ann", skip=skip, limit=3)]
    assert found == [("02", "k1"), ("02", "k2"), ("01", "k1"), ("01", "k2")]
    assert [day.day for day in quotas.list_usage("ann", key_id="k2", end_day="2026-11-01", skip=0, limit=9)] == [
        "2026-11-01"
    ]


def begun(engine: Engine, runs: Runs, *, tokens: int | None = 100, **asked: object) -> Run:
    request = RunRequest("ann", "Why?", wanted=QuotaRequest(KEY, tokens, 0), **asked)  # type: ignore[arg-type]
    return runs.create(request)[0]


@pytest.fixture
def runs(engine: Engine, quotas: Quotas) -> Runs:
    with write_transaction(engine) as connection:  # a run goes on only while its key is valid
        key = {"id": KEY.key_id, "tenant_id": "ann", "name": "k", "secret_sha256": "", "scopes": [], "created_at": 0.0}
        connection.execute(insert(api_keys).values(key))
    return Runs(engine, quotas=quotas.rules)


@pytest.fixture
def log(engine: Engine, one_day: None) -> RunLog:
    """It goes by the database's clock."""
    return RunLog(engine)


CALL = RunLogEntry("call:1", "call", {}, RunSpending(1, 0, 30, 10, 40_000))


def test_a_run_is_limited_to_what_is_reserved_and_charged_once_however_often_it_is_resumed(
    engine: Engine, quotas: Quotas, runs: Runs, jobs: Jobs, log: RunLog
) -> None:
    quotas.set_limits(TENANT, {Quota.TOKENS_PER_DAY: 100, Quota.TOKENS_PER_MONTH: 5_000})
    run = begun(engine, runs, tokens=None, limits={"calls": 9, "tokens": 500})
    assert run.limits == {"calls": 9, "tokens": 100}
    (killed,) = jobs.claim(JobKind.RUN)
    log.start_run(killed)
    log.append_entries(killed, [CALL], seconds=1.0)
    lapse(engine)
    jobs.requeue_lost_jobs(include_all_running=True)
    (job,) = jobs.claim(JobKind.RUN)
    log.start_run(job)
    log.append_entries(job, [CALL, RunLogEntry("call:2", "call", {}, RunSpending(1, 0, 5, 0, 5_000))], seconds=2.0)
    with pytest.raises(QuotaExceededError):
        begun(engine, runs)
    log.finish_run(job, RunState.COMPLETED, {}, seconds=3.0)
    assert used(quotas, Quota.TOKENS_PER_MONTH) == 45
    (day,) = quotas.list_usage("ann", skip=0, limit=10)
    assert (day.runs, day.calls, day.prompt_tokens, day.completion_tokens, day.nanodollars) == (1, 2, 35, 10, 45_000)
    runs.cancel("ann", run.id)
    assert quotas.list_usage("ann", skip=0, limit=10) == [day]


@pytest.mark.parametrize("end", ["cancel", "fail"])
def test_a_run_that_is_cancelled_or_fails_is_charged_and_gives_back_the_rest(
    engine: Engine, quotas: Quotas, runs: Runs, jobs: Jobs, log: RunLog, end: str
) -> None:
    quotas.set_limits(TENANT, {Quota.RUNS_AT_ONCE: 1})
    run = begun(engine, runs)
    (job,) = jobs.claim(JobKind.RUN)
    log.start_run(job)
    log.append_entries(job, [CALL], seconds=1.0)
    with pytest.raises(QuotaExceededError):
        begun(engine, runs)
    if end == "cancel":
        runs.cancel("ann", run.id)
    else:
        jobs.fail(job, Failure("code", "It failed."))
    (day,) = quotas.list_usage("ann", skip=0, limit=10)
    assert (day.runs, day.prompt_tokens) == (1, 30)
    begun(engine, runs)


def test_what_was_under_way_when_a_run_was_cancelled_is_charged_when_its_worker_tells(
    engine: Engine, quotas: Quotas, runs: Runs, jobs: Jobs, log: RunLog
) -> None:
    run = begun(engine, runs)
    (job,) = jobs.claim(JobKind.RUN)
    log.start_run(job)
    log.append_entries(job, [CALL], seconds=1.0)
    runs.cancel("ann", run.id)
    for _ in range(2):
        log.increase_spending(run.id, RunSpending(2, 0, 90, 10, 50_000))
    (day,) = quotas.list_usage("ann", skip=0, limit=10)
    assert (day.runs, day.calls, day.prompt_tokens, day.completion_tokens, day.nanodollars) == (1, 2, 90, 10, 50_000)
    log.increase_spending("of no run", RunSpending(1))


def test_a_repeated_request_reserves_nothing_a_second_time(engine: Engine, quotas: Quotas, runs: Runs) -> None:
    quotas.set_limits(TENANT, {Quota.RUNS_AT_ONCE: 1})
    first = begun(engine, runs, idempotency_key="k")
    assert begun(engine, runs, idempotency_key="k").id == first.id


# Storage


def limited(engine: Engine, **limits: int) -> Catalog:
    quotas = Quotas(engine)
    quotas.set_limits(TENANT, {Quota(name): amount for name, amount in limits.items()})
    return Catalog(engine, quotas=quotas.rules)


def upload(catalog: Catalog, content: str, key: str = "k1") -> AcceptedUpload:
    return catalog.accept_upload(arrival(content, key=key))


def replace(catalog: Catalog, document: Document, content: str) -> AcceptedUpload:
    return catalog.replace_document(arrival(content, key="k2"), document.id, None)


def stored(engine: Engine, key: str = "") -> tuple[int, int]:
    query = select(stored_content.c.documents, stored_content.c.bytes).where(
        stored_content.c.tenant_id == "ann", stored_content.c.key_id == key
    )
    with engine.connect() as connection:
        row = connection.execute(query).first()
    return (0, 0) if row is None else (row.documents, row.bytes)


def test_uploads_at_once_store_no_more_than_they_may(engine: Engine) -> None:
    catalog = limited(engine, bytes=10, documents=5)  # each has three bytes
    ends = at_once(*[partial(upload, catalog, f"{number}") for number in range(12)])
    assert sum(isinstance(end, AcceptedUpload) for end in ends) == 3
    refused = [end for end in ends if not isinstance(end, AcceptedUpload)]
    assert {type(end) for end in refused} == {StorageQuotaExceededError}
    assert stored(engine) == (3, 9)
    assert len(catalog.list_documents("ann")) == 3


def test_the_same_bytes_again_count_once_and_another_tenants_not_at_all(engine: Engine) -> None:
    catalog = limited(engine, documents=1)
    upload(catalog, "a")
    assert not upload(catalog, "a").created
    catalog.accept_upload(arrival("b", tenant="bob"))
    with pytest.raises(StorageQuotaExceededError, match="documents is 1, and 1 is used"):
        upload(catalog, "b")
    assert stored(engine) == (1, 3)


def test_a_replaced_version_counts_until_the_new_one_takes_its_place(engine: Engine, jobs: Jobs) -> None:
    catalog = limited(engine, bytes=6)
    document = upload(catalog, "a").document
    searchable(jobs)
    embedded(jobs)
    replace(catalog, document, "b")
    assert (stored(engine), stored(engine, "k1"), stored(engine, "k2")) == ((1, 6), (1, 3), (0, 3))
    with pytest.raises(StorageQuotaExceededError):
        upload(catalog, "c")
    searchable(jobs)
    embedded(jobs)
    assert (stored(engine), stored(engine, "k1"), stored(engine, "k2")) == ((1, 3), (1, 0), (0, 3))
    upload(catalog, "c")


def test_replacements_at_once_store_no_more_than_they_may(engine: Engine, jobs: Jobs) -> None:
    catalog = limited(engine, bytes=15)
    found = [upload(catalog, f"{number}").document for number in range(4)]
    for _ in found:
        searchable(jobs)
        embedded(jobs)
    ends = at_once(*[partial(replace, catalog, document, f"new {document.name}") for document in found])
    assert sum(isinstance(end, AcceptedUpload) for end in ends) == 1
    assert stored(engine) == (4, 15)


def test_deleting_gives_back_documents_and_bytes_once(engine: Engine) -> None:
    catalog = limited(engine, documents=1)
    document = upload(catalog, "a").document
    catalog.delete_document("ann", document.id)
    catalog.delete_document("ann", document.id)
    assert (stored(engine), stored(engine, "k1")) == ((0, 0), (0, 0))
    upload(catalog, "b")


def test_whatever_happens_to_documents_the_counters_say_what_is_stored(engine: Engine, jobs: Jobs) -> None:
    catalog, source = Catalog(engine), random.Random(24)
    for step in range(60):
        alive = catalog.list_documents("ann")
        kind = source.choice(["upload", "upload", "replace", "delete", "cancel", "work", "fail"])
        document = source.choice(alive) if alive else None
        if kind == "upload" or document is None:
            upload(catalog, source.choice("abcdefgh"), source.choice(["k1", "k2", ""]))
        elif kind == "replace":
            replace(catalog, document, source.choice("abcdefgh"))
        elif kind == "work":
            _work(jobs)
        elif kind == "fail":
            for job in jobs.claim(JobKind.INGEST):
                jobs.fail(job, Failure("code", f"Step {step}."))
        else:
            _ended(catalog, kind, document)
    assert stored(engine) == _recounted(engine)
    assert sum(stored(engine, key)[1] for key in ("k1", "k2")) <= stored(engine)[1]


def _work(jobs: Jobs) -> None:
    if jobs.list_claimable_ids(JobKind.INGEST, 1):
        searchable(jobs)
    elif jobs.list_claimable_ids(JobKind.EMBED, 1):
        embedded(jobs)


def _ended(catalog: Catalog, kind: str, document: Document) -> None:
    try:
        if kind == "delete":
            catalog.delete_document("ann", document.id)
        else:
            catalog.cancel_latest_version("ann", document.id)
    except (DocumentNotFoundError, DocumentStateError):
        pass


def _recounted(engine: Engine) -> tuple[int, int]:
    gone = [VersionState.CANCELLED, VersionState.RETIRED, VersionState.DELETED]
    count = select(func.count()).where(documents.c.tenant_id == "ann", documents.c.deleted_at.is_(None))
    size = select(func.coalesce(func.sum(versions.c.size_bytes), 0)).where(
        versions.c.tenant_id == "ann", versions.c.state.not_in(gone)
    )
    with engine.connect() as connection:
        return connection.execute(count).scalar_one(), int(connection.execute(size).scalar_one())


def test_rules_without_limits_count_and_refuse_nothing(engine: Engine) -> None:
    upload(Catalog(engine, quotas=QuotaRules({}, {})), "a")
    assert stored(engine) == (1, 3)


def test_limits_of_a_tenants_admins_only_lower_those_of_its_operator(quotas: Quotas, reserve: Reserve) -> None:
    quotas.set_limits(TENANT, {Quota.TOKENS_PER_DAY: 1000})
    quotas.set_own_limits("ann", {Quota.TOKENS_PER_DAY: 5000, Quota.DOCUMENTS: 7})
    assert quotas.load_limits(KEY)["tenant"] == {Quota.TOKENS_PER_DAY: 1000, Quota.DOCUMENTS: 7}
    assert reserve(tokens=4000).tokens == 1000
    quotas.set_own_limits("ann", {Quota.TOKENS_PER_DAY: 400})
    assert quotas.load_limits(KEY)["tenant"][Quota.TOKENS_PER_DAY] == 400
    assert quotas.load_allowed_limits("ann") == {Quota.TOKENS_PER_DAY: 1000}
    quotas.set_own_limits("ann", {Quota.TOKENS_PER_DAY: None})
    assert quotas.load_limits(KEY)["tenant"][Quota.TOKENS_PER_DAY] == 1000
    assert quotas.load_limits(Account("ben"))["tenant"] == {}


def test_a_limit_of_the_operator_replaces_the_one_of_the_tenants_admins(quotas: Quotas) -> None:
    quotas.set_own_limits("ann", {Quota.TOKENS_PER_DAY: 400, Quota.DOCUMENTS: 7})
    quotas.set_limits(TENANT, {Quota.TOKENS_PER_DAY: 1000})
    assert quotas.load_limits(TENANT)["tenant"] == {Quota.TOKENS_PER_DAY: 1000, Quota.DOCUMENTS: 7}
    quotas.reset_limits(TENANT, [Quota.DOCUMENTS])
    assert quotas.load_limits(TENANT)["tenant"] == {Quota.TOKENS_PER_DAY: 1000}


def test_used_amounts_are_known_without_a_limit(quotas: Quotas, reserve: Reserve) -> None:
    grant = reserve(tokens=100)
    quotas.charge(KEY, "answer", grant.id, Spending(1, 20, 5, 0), reported_spending=Spending())
    assert quotas.load_used_amounts(KEY)["tenant"][Quota.TOKENS_PER_MONTH] == 25
    assert quotas.load_used_amounts(OTHER)["key"][Quota.TOKENS_PER_MONTH] == 0
