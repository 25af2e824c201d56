"""The REST application over a real catalog, whose answers are scripted and whose tables and texts are in memory."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import httpx
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from api.admission.meter import Meter
from api.admission.request_rates import RequestRateLimiter
from api.admission.services import Admission, DocumentServices, Health, QueryServices, Services
from api.main import create_app
from api.settings.settings import Settings
from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.build import AccountStores, SlackStores, build_stores
from ingest.storage.db.database import open_database
from ingest.storage.documents.catalog import Catalog
from ingest.storage.feed.feed import LocalFeed
from ingest.storage.idempotency import IdempotencyKeys
from ingest.storage.quotas.store import Quotas
from ingest.storage.tables.places import Location
from ingest.storage.tables.types import Column, ColumnType, RecordRow, RecordTable
from ingest.storage.texts.positions import Positions, PositionsBuilder
from ingest.storage.texts.texts import TextMap
from tests.fakes.scripted_answers import ScriptedAnswers
from tests.support.catalogs import migrated_sqlite
from tests.support.postgres import disposed
from tests.support.serving import serving
from workers.enqueue import ThreadNotifier


class RowsAsPlaces:
    """Stands for the search of a service: each span is on the row of the table that `TenRows` has there."""

    def locate(self, version_id: str, start: int, end: int) -> Location:
        return Location(None, f"row {start // 10 + 1}")


class TenRows:
    """A table of ten rows in every version but `gone`; row 3 is the characters 30 to 40 of its text."""

    def load_tables(self, version_id: str) -> tuple[RecordTable, ...]:
        columns = (Column("name", ColumnType.TEXT), Column("year", ColumnType.INTEGER))
        return () if version_id == "gone" else (RecordTable(0, "ships", columns, 10, 0, 110),)

    def load_rows(self, version_id: str, index: int, numbers: Sequence[int] | range) -> list[RecordRow]:
        return [
            RecordRow(number, 10 * number, 10 * number + 10, (f"ship {number}", 1800 + number)) for number in numbers
        ]


class CountedTexts:
    """The text of each span is where it stands; each has 2,500 characters in two sections."""

    def load_map(self, version_id: str) -> TextMap:
        return TextMap(
            2_500, 2_500, "A title", [["One"], ["Two", "Deep"]], [(0, 900, 0, None), (900, 2_500, 1, None)], ()
        )

    def load_positions(self, version_id: str) -> Positions:
        return PositionsBuilder().build()

    def read(self, version_id: str, start: int = 0, end: int | None = None) -> str:
        return f"{start} to {end}"


@dataclass
class AskedApi:
    """The application with a client that holds a key of the tenant `ann`, and a stranger's headers."""

    engine: Engine
    services: Services
    answers: ScriptedAnswers
    http: TestClient
    headers: Mapping[str, str]
    stranger: Mapping[str, str]

    def ask(self, question: str = "Which colour?", *, status: int = 200, **body: Any) -> Any:  # noqa: ANN401 - JSON
        return self._json(self.http.post("/v1/answers", json={"question": question, **body}), status)

    def get(self, path: str, *, status: int = 200, **params: Any) -> Any:  # noqa: ANN401 - JSON
        return self._json(self.http.get(path, params=params), status)

    def events(self, **body: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - JSON
        """The events of a streamed answer, as names and bodies."""
        found = self.http.post("/v1/answers", json={"question": "Which colour?", "stream": True, **body})
        assert found.headers["content-type"].startswith("text/event-stream")
        blocks = [block.split("\n") for block in found.text.split("\n\n") if block.startswith("id: ")]
        return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for _, name, data in blocks]

    def _json(self, response: Any, status: int) -> Any:  # noqa: ANN401 - of the test client's own httpx; JSON
        assert response.status_code == status, response.text
        return response.json()


def _settings() -> Settings:
    return _read_settings(tuple(each for each in os.environ.items() if each[0].startswith("LEADLINE_")))


@cache  # reading the settings takes longer than many a test
def _read_settings(environment: tuple[tuple[str, str], ...]) -> Settings:
    return Settings.model_validate({"llm": "none"})


@contextmanager
def asked_api(folder: Path, *, model_costs: bool = False) -> Iterator[AskedApi]:
    with disposed(open_database(migrated_sqlite(folder / "catalog.sqlite"))) as engine:
        catalog, identities = Catalog(engine), AccountStores.from_engine(engine)
        for tenant in ("ann", "bob"):
            catalog.ensure_tenant(tenant)
        nothing = cast(Any, None)
        answers = ScriptedAnswers()
        quotas = Quotas(engine)
        meter = Meter(quotas, RequestRateLimiter(), answer_tokens=1_000, model_is_free=True)
        stores = build_stores(engine, LocalFeed(), DirectoryBlobs(folder / "blobs"), quotas)
        contents = replace(stores.contents, texts=cast(Any, CountedTexts()), tables=cast(Any, TenRows()))
        services = Services(
            settings=_settings().model_copy(update={"home": folder}),
            stores=replace(stores, contents=contents),
            accounts=identities,
            slack=SlackStores.from_engine(engine),
            admission=Admission(IdempotencyKeys(engine), meter),
            asking=QueryServices(cast(Any, RowsAsPlaces()), nothing, answers, nothing, model_costs),
            work=DocumentServices(nothing, nothing, nothing, nothing, ThreadNotifier(), nothing),
            health=Health(),
        )
        mine, theirs = (
            {"Authorization": f"Bearer {identities.keys.issue_key(each, 'a test')[1]}"} for each in ("ann", "bob")
        )
        with closing(meter), TestClient(create_app(services), headers=mine) as http:
            yield AskedApi(engine, services, answers, http, mine, theirs)


@contextmanager
def listening(api: AskedApi) -> Iterator[httpx.Client]:
    """A client of the application behind a real server, as the command line has one."""
    with (
        serving(create_app(api.services)) as url,
        httpx.Client(base_url=url, headers=api.headers, timeout=60) as http,
    ):
        yield http
