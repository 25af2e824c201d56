"""Open streams and answers end with a problem soon after their caller loses access, whatever the protocol."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from api.admission.services import DEFAULT_TENANT
from ingest.storage.accounts.records import Scope
from ingest.storage.queue.records import JobKind
from tests.support.cluster import wait_until
from tests.support.facades import FACADES
from tests.support.harbour import Harbour, Model, harbour

# The service looks within five seconds; the rest is room for a busy machine.
_LIMIT_SECONDS = 40.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    with harbour(tmp_path_factory.mktemp("home"), Model()) as made:
        made.model.fault = "wait"
        made.services.jobs.pause_kind(JobKind.INGEST)
        yield made


class Followed:
    """A request that is read in a thread until its end."""

    def __init__(
        self,
        service: Harbour,
        key: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.lines: list[str] = []
        self.is_open = threading.Event()
        self._is_given_up = threading.Event()
        self._headers = {"Authorization": f"Bearer {key}", **(headers or {})}
        self._read = ThreadPoolExecutor(1).submit(self._follow, f"{service.url}{path}", body)

    def _follow(self, url: str, body: dict[str, Any] | None) -> None:
        method = "GET" if body is None else "POST"
        with (
            httpx.Client(headers=self._headers, timeout=120) as http,
            http.stream(method, url, json=body) as response,
        ):
            self.lines.append(f"status: {response.status_code}")
            for line in response.iter_lines():
                self.lines.append(line)
                self.is_open.set()
                if self._is_given_up.is_set():  # the service could not end while it is read
                    return

    def wait_for_end(self) -> str:
        """Return all that was read; fails if the request goes on."""
        try:
            wait_until(self._read.done, what="the stream has ended", seconds=_LIMIT_SECONDS)
        finally:
            self._is_given_up.set()
        return "\n".join(self.lines)


def batch(service: Harbour, key: str) -> Followed:
    made = service.client.post("/v1/batches", {"name": "open"})
    return Followed(service, key, f"/v1/batches/{made['id']}/events")


def document(service: Harbour, key: str) -> Followed:
    sent = service.client.http.post("/v1/documents", content=b"A text that waits.")
    return Followed(service, key, f"/v1/documents/{sent.json()['id']}/events")


def run(service: Harbour, key: str) -> Followed:
    body = {"question": "Who kept the light?", "background": True}
    headers = {"Authorization": f"Bearer {key}"}
    begun = httpx.post(f"{service.url}/v1/answers", json=body, headers=headers, timeout=60).json()
    return Followed(service, key, f"/v1/runs/{begun['id']}/events")


def shown_open(service: Harbour, follow: Callable[[Harbour, str], Followed], key: str) -> Followed:
    followed = follow(service, key)
    assert followed.is_open.wait(_LIMIT_SECONDS)
    return followed


@pytest.mark.parametrize("follow", [batch, document, run])
def test_an_event_stream_ends_with_the_key_that_opened_it(
    service: Harbour, follow: Callable[[Harbour, str], Followed]
) -> None:
    key, secret = service.services.keys.issue_key(DEFAULT_TENANT, "to be revoked")
    followed = shown_open(service, follow, secret)
    assert service.client.http.delete(f"/v1/keys/{key.id}").is_success
    last = followed.wait_for_end().rpartition("event: ")[2]
    assert last.startswith("error")
    assert '"code": "unauthorized"' in last


def test_an_event_stream_ends_with_its_user_its_session_its_scope_and_its_tenant(service: Harbour) -> None:
    identities, keys = service.services.accounts, service.services.keys
    identities.users.create(DEFAULT_TENANT, "ann", [])
    other = identities.tenants.create("other").id
    of_ann, of_reader = keys.issue_key(DEFAULT_TENANT, "ann", user="ann"), keys.issue_key(DEFAULT_TENANT, "reader")
    of_other = keys.issue_key(other, "other")[1]
    batches = [shown_open(service, batch, secret) for secret in (of_ann[1], of_reader[1])]
    made = httpx.post(f"{service.url}/v1/batches", json={}, headers={"Authorization": f"Bearer {of_other}"}).json()
    batches.append(Followed(service, of_other, f"/v1/batches/{made['id']}/events"))
    assert batches[-1].is_open.wait(_LIMIT_SECONDS)
    identities.users.delete(DEFAULT_TENANT, "ann")
    keys.change_key(DEFAULT_TENANT, of_reader[0].id, {"scopes": [Scope.WRITE]})
    identities.tenants.suspend(other)
    for followed, code in zip(batches, ("unauthorized", "scope_missing", "unauthorized"), strict=True):
        assert f'"code": "{code}"' in followed.wait_for_end().rpartition("event: error")[2]


def test_a_stream_goes_on_while_its_key_is_valid(service: Harbour) -> None:
    _, secret = service.services.keys.issue_key(DEFAULT_TENANT, "valid")
    followed = shown_open(service, batch, secret)
    identifier = next(iter(service.client.get("/v1/batches")["batches"]))["id"]
    service.client.http.post("/v1/documents", params={"batch": identifier}, content=b"One more text.")
    wait_until(lambda: any("progress" in line for line in followed.lines), what="the batch's progress is sent")
    service.client.http.post(f"/v1/batches/{identifier}/cancel")
    assert "event: end" in followed.wait_for_end()


@pytest.mark.parametrize("name", FACADES)
def test_an_answer_is_not_given_to_a_key_that_was_revoked_while_it_was_made(service: Harbour, name: str) -> None:
    key, secret = service.services.keys.issue_key(DEFAULT_TENANT, "to be revoked")
    facade, asked = FACADES[name], len(service.model.requests)
    body = facade.body(f"Who kept {name}?")
    followed = Followed(service, secret, facade.path, body=body, headers=facade.headers)
    wait_until(lambda: len(service.model.requests) > asked, what="the model is asked")
    assert service.client.http.delete(f"/v1/keys/{key.id}").is_success
    assert "unauthorized" in followed.wait_for_end()
