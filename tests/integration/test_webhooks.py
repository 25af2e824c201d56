"""Webhooks against a real receiver: signed, sent again with the same id, and to no address that is not allowed."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request, Response
from sqlalchemy import Engine, update

from api.client import Client, RefusedError
from ingest.storage.db.database import open_database, write_transaction
from ingest.storage.db.schema import webhook_deliveries as rows
from ingest.storage.documents.catalog import Catalog
from ingest.storage.webhooks.outbox import Outbox, publish_event
from ingest.storage.webhooks.records import Delivery, DeliveryState, EventType
from ingest.storage.webhooks.store import Webhooks
from tests.support.catalogs import migrated_sqlite
from tests.support.cluster import wait_until
from tests.support.fault_folder import VARIABLE, FaultFolder
from tests.support.postgres import disposed
from tests.support.service import running
from tests.support.webhook_receiver import Receiver, loopback, receiving
from workers.upkeep.webhooks import WebhookSender


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


class Told:
    """A catalog with a webhook at a receiver, and a message to it."""

    def __init__(self, engine: Engine, url: str, receiver: Receiver) -> None:
        self.engine, self.webhooks = engine, Webhooks(engine)
        Catalog(engine).ensure_tenant("ann")
        self.webhook, self.secret = self.webhooks.create("ann", receiver.url, tuple(EventType))
        self.catalog_url = url
        self.tell("one")

    def tell(self, document: str) -> None:
        with write_transaction(self.engine) as connection:
            publish_event(connection, "ann", EventType.DOCUMENT_DELETED, [{"document": document}])

    def send(self, **settings: Any) -> Delivery:  # noqa: ANN401
        """Try what is due, and return the message."""
        with write_transaction(self.engine) as connection:
            connection.execute(update(rows).values(not_before=0.0, lease_until=None))
        assert WebhookSender(Outbox(self.engine), loopback(**settings)).send_due_messages()
        return self.delivery

    @property
    def delivery(self) -> Delivery:
        return self.webhooks.list_deliveries("ann", self.webhook.id)[-1]


@pytest.fixture
def told(tmp_path: Path, receiver: Receiver) -> Iterator[Told]:
    url = migrated_sqlite(tmp_path / "catalog.sqlite")
    with disposed(open_database(url)) as engine:
        yield Told(engine, url, receiver)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running(tmp_path_factory.mktemp("home"), webhook_networks="127.0.0.1/32") as (_, client):
        yield client


def test_a_service_tells_a_webhook_of_documents_and_runs_and_lists_what_arrived(
    client: Client, receiver: Receiver
) -> None:
    events = ["document.ready", "document.deleted", "run.completed"]
    made = client.post("/v1/webhooks", {"url": receiver.url, "events": events})
    document = client.upload(b"# Whales\n\nThe whale was white.", name="whales.md").id
    receiver.wait_for(1)
    run = client.start_run("Which colour had the whale?").id
    receiver.wait_for(2)
    client.delete_document(document)
    receiver.wait_for(3)
    assert [
        (each["type"], each["data"].get("document"), each["data"].get("run"))
        for each in receiver.verified(made["secret"])
    ] == [
        ("document.ready", document, None),
        ("run.completed", None, run),
        ("document.deleted", document, None),
    ]
    path = f"/v1/webhooks/{made['id']}"
    wait_until(
        lambda: all(each["state"] == "delivered" for each in client.listed(f"{path}/deliveries", "deliveries")),
        what="it is noted that all arrived",
    )
    listed = list(client.listed(f"{path}/deliveries", "deliveries", limit=2))
    assert [each["id"] for each in listed] == receiver.ids[::-1]
    assert {(each["status"], each["attempts"]) for each in listed} == {(204, 1)}
    assert "secret" not in client.get(path)
    client.post(f"{path}/deliveries/{listed[0]['id']}/replay", {})
    receiver.wait_for(4)
    assert receiver.ids[3] == receiver.ids[2]
    client.post(f"{path}/test", {})
    receiver.wait_for(5)
    assert receiver.verified(made["secret"])[4]["type"] == "webhook.test"
    rotated = client.post(f"{path}/rotate", {})["secret"]
    client.post(f"{path}/test", {})
    receiver.wait_for(6)
    for secret in (made["secret"], rotated):
        receiver.got[:] = receiver.got[-1:]
        assert receiver.verified(secret)
    client.delete(path)


@pytest.mark.parametrize(
    "url", ["https://10.0.0.1/x", "http://169.254.169.254/latest", "https://localhost@[::1]/", "ftp://example.org/"]
)
def test_an_address_that_is_not_allowed_is_refused_when_it_is_given(client: Client, url: str) -> None:
    with pytest.raises(RefusedError, match="LEADLINE_WEBHOOK_NETWORKS") as caught:
        client.post("/v1/webhooks", {"url": url, "events": ["run.failed"]})
    assert caught.value.problem == "destination_refused"


def test_what_a_receiver_does_not_take_is_sent_again_with_the_same_id(told: Told, receiver: Receiver) -> None:
    receiver.answer = lambda _: Response(status_code=500)
    failed = told.send()
    assert (failed.state, failed.status, failed.attempts) == (DeliveryState.PENDING, 500, 1)
    receiver.answer = lambda _: Response(status_code=200)
    assert told.send().state is DeliveryState.DELIVERED
    assert len(receiver.ids) == 2
    assert len(set(receiver.ids)) == 1
    assert [each["data"] for each in receiver.verified(told.secret)] == [{"document": "one"}] * 2


def test_a_redirect_is_not_followed(told: Told, receiver: Receiver) -> None:
    receiver.answer = lambda _: Response(status_code=307, headers={"Location": "/elsewhere"})
    failed = told.send()
    assert (failed.state, failed.status) == (DeliveryState.PENDING, 307)
    assert "redirect" in str(failed.detail)
    assert receiver.paths == ["/hook"]


def test_a_receiver_that_does_not_answer_is_not_waited_for(told: Told, receiver: Receiver) -> None:
    given_up = threading.Event()

    def slow(_: Request) -> Response:
        given_up.wait(120)
        return Response(status_code=204)

    receiver.answer = slow
    try:
        failed = told.send(webhook_seconds=0.2)
    finally:
        given_up.set()
    assert (failed.state, failed.status) == (DeliveryState.PENDING, None)
    assert "within 0.2 seconds" in str(failed.detail)


def test_an_address_that_is_allowed_no_more_gets_nothing(told: Told, receiver: Receiver) -> None:
    assert "not a public address" in str(told.send(webhook_networks="10.0.0.0/8").detail)
    assert receiver.got == []


def test_a_name_is_looked_up_once_and_what_was_checked_is_what_is_reached(
    told: Told, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that leads elsewhere at its second look-up, as a rebinding attack has it, is not looked up twice."""
    looked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as the resolver
        if host != "hooks.test":
            return real(host, port, *arguments, **options)
        looked.append(host)
        return real("127.0.0.1" if len(looked) == 1 else "127.0.0.77", port, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    port = receiver.url.rpartition(":")[2].partition("/")[0]
    told.webhooks.change("ann", told.webhook.id, {"url": f"http://hooks.test:{port}/hook"})
    assert told.send().state is DeliveryState.DELIVERED
    assert looked == ["hooks.test"]
    assert receiver.got[0][0]["host"] == f"hooks.test:{port}"


def test_a_proxy_of_the_environment_is_not_asked(
    told: Told, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert told.send().state is DeliveryState.DELIVERED


@pytest.mark.slow
@pytest.mark.parametrize(("point", "before"), [("webhooks.claimed", 0), ("webhooks.sent", 1)])
def test_a_message_outlives_its_sender_and_is_told_by_its_id(
    told: Told, receiver: Receiver, tmp_path: Path, point: str, before: int
) -> None:
    faults = FaultFolder(tmp_path / "faults")
    faults.arm(point)
    environment = {**os.environ, "CATALOG": told.catalog_url, VARIABLE: str(faults.folder)}
    module = "tests.support.webhook_receiver"
    with subprocess.Popen([sys.executable, "-m", module], env=environment) as sender:
        wait_until(lambda: faults.reached(point) is not None, what="the sender stands there")
        sender.send_signal(signal.SIGKILL)
    assert len(receiver.ids) == before
    assert told.delivery.state is DeliveryState.PENDING
    assert not WebhookSender(Outbox(told.engine), loopback()).send_due_messages(), "another sender took what is leased"
    assert told.send().state is DeliveryState.DELIVERED
    assert len(receiver.ids) == before + 1
    assert len(set(receiver.ids)) == 1


def test_two_senders_at_once_send_a_message_once(told: Told, receiver: Receiver) -> None:
    for number in range(12):
        told.tell(f"more {number}")
    first, second = (WebhookSender(Outbox(told.engine), loopback()) for _ in range(2))

    async def both() -> None:
        while any(await asyncio.gather(*(asyncio.to_thread(each.send_due_messages) for each in (first, second)))):
            pass

    asyncio.run(both())
    assert len(receiver.ids) == len(set(receiver.ids)) == 13
    assert {json.loads(body)["data"]["document"] for _, body in receiver.got} == {
        "one",
        *(f"more {n}" for n in range(12)),
    }
