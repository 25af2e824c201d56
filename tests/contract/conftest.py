"""A catalog with two tenants, on each database it may live in."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from ingest.storage.db.database import open_database
from ingest.storage.documents.catalog import Catalog
from ingest.storage.jobs.jobs import Jobs
from tests.support.catalogs import require_true_listing
from tests.support.postgres import disposed


@pytest.fixture
def engine(catalog_url: str) -> Iterator[Engine]:
    with disposed(open_database(catalog_url)) as engine:
        catalog = Catalog(engine)
        catalog.ensure_tenant("ann")
        catalog.ensure_tenant("bob")
        yield engine
        require_true_listing(engine)


@pytest.fixture
def catalog(engine: Engine) -> Catalog:
    return Catalog(engine)


@pytest.fixture
def jobs(engine: Engine) -> Jobs:
    return Jobs(engine)
