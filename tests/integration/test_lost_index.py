"""A lost index is an outage that says what to do, and never an answer "not found": what everything that looks sees.

`pytest -s` prints what is seen of each loss, before and after the index is made again.
"""

import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.admission.services import Services
from api.build.index_access import open_index_access
from api.cli import doctor, index
from api.client import Client
from api.settings.settings import Settings
from retrieval.encoders.port import HashingEmbedder
from retrieval.encoders.registry import wrap_encoder
from retrieval.index.edge.qdrant_edge_index import QdrantEdgeIndex
from tests.support.cluster import wait_until
from tests.support.service import running

TOKEN = "a-token-for-prometheus"
SUBJECTS = ("whales", "ships", "lighthouses", "anchors", "compasses", "sails")


def settings(home: Path) -> Settings:
    return Settings.model_validate({"home": home, "llm": "none"})


def upload(client: Client, subject: str) -> str:
    content = f"# {subject}\n\nThe harbour master wrote down all about {subject}.\n".encode()
    made = client.http.post("/v1/documents", params={"name": f"{subject}.md"}, content=content)
    assert made.status_code == 202
    return str(made.json()["id"])


def state(client: Client, document: str) -> str:
    return str(client.get(f"/v1/documents/{document}")["state"])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The data folder of a service that was stopped in order, with six documents."""
    with running(tmp_path / "home") as (_, client):
        documents = [upload(client, subject) for subject in SUBJECTS]
        wait_until(lambda: {state(client, each) for each in documents} == {"ready"}, what="all are ready")
    return tmp_path / "home"


def search(client: Client, subject: str = "whales") -> httpx.Response:
    return client.http.post("/v1/search", json={"query": f"all about {subject}"})


def ask(client: Client) -> httpx.Response:
    return client.http.post("/v1/answers", json={"question": "What did the harbour master write about whales?"})


def parts(client: Client, role: str = "search") -> tuple[int, str]:
    found = client.http.get("/health/ready", params={"for": role})
    return found.status_code, found.json()["parts"]["search"]["state"]


def metrics(client: Client) -> dict[str, float]:
    shown = client.http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    lines = (line.split() for line in shown.splitlines() if line.startswith("leadline_index_"))
    return {name.removeprefix("leadline_index_"): float(value) for name, value in lines}


def diagnosed(home: Path) -> doctor.Finding:
    """The finding of `leadline doctor` about the index."""
    (check,) = [check for check in doctor._CHECKS if check.__name__ == "_check_index"]
    (found,) = list(check(settings(home)))
    return found


def shown(home: Path) -> str:
    """What `leadline index show` says of the last check."""
    with open_index_access(
        settings(home), cluster=None, catalog_only=True, encoders=wrap_encoder(HashingEmbedder())
    ) as access:
        return index.describe_last_check(access.states.load_state(access.records.load_active_generation().id))


def rebuild(home: Path) -> None:
    """As `leadline index rebuild` does, beside a running service or without one."""
    with open_index_access(settings(home), cluster=None, encoders=wrap_encoder(HashingEmbedder())) as access:
        access.rebuild_index(lambda _progress, _chunks: None)
        access.delete_discarded_indexes()


def verified(home: Path) -> tuple[bool, int]:
    """Whether `leadline index verify` agrees, and in how many documents it does not."""
    with open_index_access(settings(home), cluster=None, encoders=wrap_encoder(HashingEmbedder())) as access:
        found = access.verify_index(
            access.records.load_active_generation(), sample_size=100, seed=1, on_progress=lambda _done, _all: None
        )
    return found.is_consistent, len(found.disagreements)


def report(when: str, services: Services, client: Client) -> None:
    """Print what each says who is asked."""
    home, found, answered = services.settings.home, search(client), ask(client).json()
    body: dict[str, Any] = found.json()
    said = f"{len(body['hits'])} hits" if "hits" in body else f"{body['code']}: {body['detail']} {body['hint']}"
    lines = {
        "search": f"{found.status_code} {said}",
        "answer": f"{answered['status']} {answered.get('code', '')}",
        "readiness": f"{parts(client)}, for uploads {parts(client, 'uploads')[0]}",
        "doctor": f"{diagnosed(home)}",
        "index show": shown(home),
        "metrics": f"{metrics(client)}",
    }
    sys.stdout.write(f"\n== {when}\n" + "".join(f"{name:11} {line}\n" for name, line in lines.items()))


def remove_folder(home: Path) -> None:
    shutil.rmtree(home / "index")


def remove_half_of_the_points(home: Path) -> None:
    engine = QdrantEdgeIndex(home / "index", dimension=HashingEmbedder().dimension)
    held = sorted(engine.count_chunks_by_version())
    for version in held[: len(held) // 2]:
        engine.delete_version("default", version)
    engine.close()


def remove_segments(home: Path) -> None:
    """Remove the larger half of the segments, as a disk that was cut off would."""

    def size(folder: Path) -> int:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    segments = sorted((home / "index").glob("gen-*/segments/*"), key=size, reverse=True)
    for segment in segments[: (len(segments) + 1) // 2]:
        shutil.rmtree(segment)


def remove_files_of_segments(home: Path) -> None:
    """Leave segments that the engine refuses to open."""
    for path in (home / "index").glob("gen-*/segments/*/segment.json"):
        path.unlink()


def remove_the_shard(home: Path) -> None:
    for path in (home / "index").glob("gen-*"):
        shutil.rmtree(path)


LOSSES = [remove_folder, remove_half_of_the_points, remove_segments, remove_files_of_segments, remove_the_shard]


@pytest.mark.parametrize("lose", LOSSES, ids=lambda lose: lose.__name__)
def test_a_lost_index_is_an_outage_until_it_is_made_again(home: Path, lose: Callable[[Path], None]) -> None:
    lose(home)
    with running(home, metrics_token=TOKEN) as (services, client):
        for _ in range(2):
            refused = search(client)
            assert refused.status_code == 503
            assert (refused.json()["code"], refused.headers["retry-after"]) == ("index_lost", "5")
            assert "leadline index rebuild" in refused.json()["hint"]
            assert ask(client).status_code == 503
        assert parts(client) == (503, "lost")
        assert parts(client, "answers")[0] == 503
        assert parts(client, "uploads") == (200, "lost")
        late = upload(client, "harpoons")
        assert "leadline index rebuild" in diagnosed(home).advice
        assert "has lost documents" in shown(home)
        assert metrics(client)["lost"] == 1
        report(f"{lose.__name__}, before", services, client)

        rebuild(home)
        wait_until(lambda: search(client).status_code == 200, what="searches follow to the new index")
        for subject in SUBJECTS:
            assert subject in search(client, subject).json()["hits"][0]["text"]
        assert ask(client).status_code == 200
        assert parts(client) == (200, "ready")
        wait_until(lambda: state(client, late) == "ready", what="what came meanwhile was waited for")
        assert "harpoons" in search(client, "harpoons").json()["hits"][0]["text"]
        wait_until(lambda: services.health.index_state().checked_at is not None, what="the new index is checked")
        assert (services.health.index_state().lost, services.health.index_state().is_marked) == ("", True)
        report(f"{lose.__name__}, after", services, client)
    found = diagnosed(home)
    assert (found.advice, "all of 7 documents" in found.found) == ("", True)
    assert verified(home) == (True, 0)
    assert not (home / "index").exists()


@pytest.mark.parametrize("lose", [remove_folder, remove_files_of_segments], ids=lambda lose: lose.__name__)
def test_a_lost_index_is_made_again_without_a_service(home: Path, lose: Callable[[Path], None]) -> None:
    lose(home)
    assert "leadline index rebuild" in diagnosed(home).advice
    rebuild(home)
    assert diagnosed(home).advice == ""
    assert verified(home) == (True, 0)
    with running(home) as (_, client):
        assert "whales" in search(client).json()["hits"][0]["text"]
        assert parts(client) == (200, "ready")


def test_doctor_makes_no_index_where_there_is_none(home: Path) -> None:
    remove_folder(home)
    for _ in range(2):
        assert diagnosed(home).advice
    assert not (home / "index").exists()


def test_an_index_of_an_earlier_release_is_searched_and_marked(home: Path) -> None:
    (home / "index" / "COMPLETE").unlink()
    with closing(sqlite3.connect(home / "catalog.sqlite")) as connection:
        connection.execute("DELETE FROM index_states")
        connection.commit()
    with running(home) as (services, client):
        assert "whales" in search(client).json()["hits"][0]["text"]
        assert services.health.index_state().is_marked
    assert (home / "index" / "COMPLETE").exists()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[tuple[Services, Client]]:
    with running(tmp_path / "fresh", metrics_token=TOKEN) as made:
        yield made


def test_a_new_installation_finds_nothing_and_says_so(fresh: tuple[Services, Client]) -> None:
    services, client = fresh
    found = search(client)
    assert (found.status_code, found.json()["hits"]) == (200, [])
    assert parts(client) == (200, "ready")
    assert (services.health.index_state().is_marked, metrics(client)["lost"]) == (True, 0)
    assert diagnosed(services.settings.home).advice == ""
