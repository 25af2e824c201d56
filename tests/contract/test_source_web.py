"""The web site as a source: the contract by links and by sitemap, against a real server."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from ingest.sources.port import Source, SourceContext
from ingest.sources.registry import SOURCE_KINDS
from ingest.storage.webhooks.destinations import Destinations
from tests.contract.source_contract import Place, SourceContract
from tests.support.web_server import WebServer, open_web_server


@dataclass
class WebPlace:
    server: WebServer
    scratch: Path
    find: Literal["links", "sitemap"]

    def write(self, name: str, content: bytes) -> None:
        self.server.write(name, content)

    def remove(self, name: str) -> None:
        self.server.remove(name)

    def stop(self) -> None:
        self.server.stop()

    def open(self) -> AbstractContextManager[Source]:
        kind = SOURCE_KINDS["web"]
        url = f"{self.server.url}/files/" if self.find == "links" else f"{self.server.url}/sitemap.xml"
        options = kind.options(url=url, find=self.find, include=["*.txt"])
        context = SourceContext(Destinations.parse("127.0.0.0/8"), self.scratch, timeout_seconds=10)
        return closing(kind.build(options, context))


@pytest.fixture
def server() -> Iterator[WebServer]:
    with open_web_server() as site:
        site.pages["/files/"] = site.list_links
        site.pages["/sitemap.xml"] = site.list_sitemap
        yield site


class TestLinks(SourceContract):
    @pytest.fixture
    def place(self, server: WebServer, tmp_path: Path) -> Place:
        return WebPlace(server, tmp_path, "links")


class TestSitemap(SourceContract):
    @pytest.fixture
    def place(self, server: WebServer, tmp_path: Path) -> Place:
        return WebPlace(server, tmp_path, "sitemap")
