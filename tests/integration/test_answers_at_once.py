"""As many answers as there is room for, all of them waiting: one more is refused, nothing else stands still."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from api.admission.services import DEFAULT_TENANT
from api.build.language_model import NoLanguageModel
from ingest.storage.answers.run_records import RunRequest
from tests.integration.test_api import other_tenant
from tests.support.cluster import wait_until
from tests.support.service import running

# More than the threads that all other requests share.
PLACES = 45


class HeldLanguageModel(NoLanguageModel):
    """Is none, and says so only once it is let go."""

    def __init__(self) -> None:
        self.asked = 0
        self.free = threading.Event()
        self._lock = threading.Lock()

    def acquire(self) -> None:
        with self._lock:
            self.asked += 1
        self.free.wait(600)


@pytest.mark.parametrize("stream", [False, True])
def test_answers_that_wait_hold_up_nothing_else_and_one_more_is_refused(tmp_path: Path, stream: bool) -> None:
    model = HeldLanguageModel()
    with running(tmp_path, language_model=model, answers_at_once=PLACES) as (services, client):
        others = other_tenant(services, client)

        def ask(number: int, **headers: str) -> httpx.Response:
            body = {"question": f"Who is {number}?", "stream": stream}
            return client.http.post("/v1/answers", json=body, headers=headers)

        with ThreadPoolExecutor(PLACES + 1) as clients:
            asked = [clients.submit(ask, number) for number in range(PLACES)]
            try:
                wait_until(lambda: model.asked == PLACES, what="all answers are under way")
                assert client.http.get("/health/live", timeout=120).json() == {"status": "alive"}
                run, _ = services.answers.runs.create(RunRequest(DEFAULT_TENANT, "Who else?"))
                cancelled = client.http.post(f"/v1/runs/{run.id}/cancel", timeout=120)
                assert cancelled.json()["state"] == "cancelled"
                refused = ask(PLACES)
                asked.append(clients.submit(ask, PLACES, **others))
                wait_until(lambda: model.asked == PLACES + 1, what="another tenant has a place")
            finally:
                model.free.set()
            assert {each.result().status_code for each in asked} == {200}
        assert (refused.status_code, refused.json()["code"]) == (429, "answers_full")
        assert int(refused.headers["retry-after"]) > 0
        assert "background" in refused.json()["hint"]
        assert client.get("/problems/answers_full")["status"] == 429
        assert ask(PLACES).status_code == 200
