"""Buckets as sources: the contract over all three kinds, against real servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.source_contract import SourceContract
from tests.support.bucket_servers import BucketPlace, open_bucket_place, open_bucket_server


@pytest.fixture(scope="module", params=["s3", "gcs", "azure"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    with open_bucket_server(request.param) as url:
        yield request.param, url


@pytest.fixture
def place(server: tuple[str, str], tmp_path: Path) -> Iterator[BucketPlace]:
    with open_bucket_place(*server, tmp_path) as place:
        yield place


class TestBucket(SourceContract):
    @pytest.fixture
    def place(self, place: BucketPlace) -> BucketPlace:
        return place
