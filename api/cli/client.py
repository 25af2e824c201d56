"""Connects the command line to a service: over HTTP to a running one, or to a private one inside this process."""

import json
import os
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from api.cli.environment import CLIENT_KEY, read_secret
from api.settings import Settings
from ingest.errors import LeadlineError

TIMEOUT = httpx.Timeout(600.0, connect=5.0)
_POLL_SECONDS = 0.5
_PAGE = 100
# A server that follows something reports at least every ten seconds that it is still there.
_SILENCE = httpx.Timeout(30.0, connect=5.0)
_RECONNECTIONS = 6


class ServiceError(LeadlineError):
    """A service's error, in its own words, instead of a result."""

    code = "service_error"


class Client:
    """A thin client of the REST API that turns problems into `ServiceError`."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def get(self, path: str, *, headers: Mapping[str, str] | None = None, **params: Any) -> Any:  # noqa: ANN401 - JSON
        given = {name: value for name, value in params.items() if value is not None}
        return self._json(self.http.get(path, params=given, headers=headers))

    def post(self, path: str, body: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        return self._json(self.http.post(path, json=body))

    def patch(self, path: str, body: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """Change what is at a path, whatever state it is in."""
        return self._json(self.http.patch(path, json=body, headers={"If-Match": "*"}))

    def delete(self, path: str) -> None:
        response = self.http.delete(path)
        if response.status_code >= 400:
            self._json(response)

    def upload(
        self,
        path: Path,
        *,
        name: str,
        collection: str,
        priority: str = "interactive",
        batch: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        readers: Sequence[str] = (),
    ) -> Any:  # noqa: ANN401 - JSON
        """Stream the file; the answer is the document, with `duplicate`."""
        params: dict[str, Any] = {"name": name, "collection": collection, "priority": priority}
        if batch is not None:
            params["batch"] = batch
        if metadata:
            params["metadata"] = json.dumps(metadata)
        if readers:
            params["readers"] = list(readers)
        with path.open("rb") as file:
            return self._json(self.http.post("/v1/documents", params=params, content=file))

    def events(self, path: str, body: dict[str, Any]) -> Generator[tuple[str, Any]]:
        """Yield server-sent events as `(name, data)`."""
        with self.http.stream("POST", path, json=body) as response:
            for _, name, body in self._sent(response):
                yield name, body

    def follow(self, path: str) -> Iterator[Any]:
        """Yield the states that an events route reports, from now to the end; broken connections are made again."""
        seen: dict[str, str] = {}
        broken = 0
        while True:
            try:
                with self.http.stream("GET", path, headers=seen, timeout=_SILENCE) as response:
                    for identifier, name, body in self._sent(response):
                        if name == "error":
                            raise ServiceError(body["detail"], hint=body.get("hint", ""))
                        seen, broken = {"Last-Event-ID": identifier}, 0
                        yield body
                        if name == "end":
                            return
            except httpx.TransportError:
                broken += 1
                if broken > _RECONNECTIONS:
                    raise
            time.sleep(_POLL_SECONDS * 2**broken)

    def pages(self, path: str, members: str, **params: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - members of a query
        """Yield everything of a listing, page by page."""
        cursor: str | None = None
        while True:
            page = self.get(path, limit=_PAGE, cursor=cursor, **params)
            yield from page[members]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def wait_for_language_model(self) -> Iterator[dict[str, Any]]:
        """Yield the language model's state, until it is no longer loading."""
        while True:
            state: dict[str, Any] = self.get("/health/ready")["parts"]["language_model"]
            yield state
            if state["state"] != "loading":
                return
            time.sleep(_POLL_SECONDS)

    def _sent(self, response: httpx.Response) -> Iterator[tuple[str, str, Any]]:
        if response.status_code >= 400:
            response.read()
            self._json(response)
        return sent_events(response)

    def _json(self, response: httpx.Response) -> Any:  # noqa: ANN401 - JSON
        if response.status_code < 400:
            return response.json()
        try:
            problem = response.json()
            raise ServiceError(problem["detail"], hint=problem.get("hint", ""))
        except (ValueError, KeyError) as error:
            raise ServiceError(f"The service answered {response.status_code}.") from error


def sent_events(response: httpx.Response) -> Iterator[tuple[str, str, Any]]:
    """Yield server-sent events as `(id, name, data)`, while they come."""
    identifier = name = ""
    for line in response.iter_lines():
        if line.startswith("id: "):
            identifier = line[4:]
        elif line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield identifier, name, json.loads(line[6:])


@contextmanager
def connect(settings: Settings) -> Iterator[Client]:
    """Connect to the running service of the data folder or of `LEADLINE_URL`, else to a private one on the folder."""
    url = os.environ.get("LEADLINE_URL") or running_url(settings.home)
    if url is None:
        # Imports the whole service: if one runs elsewhere, a command need not wait for the import.
        from api.cli.private_service import open_private

        with open_private(settings) as client:
            yield client
        return
    key = read_secret(CLIENT_KEY, os.environ)
    if not key:
        raise ServiceError(
            f"A Leadline service runs at {url}.",
            hint="Set LEADLINE_API_KEY to one of its keys; `leadline keys create` makes one.",
        )
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT) as http:
        try:
            yield Client(http)
        except httpx.TransportError as error:
            raise ServiceError(
                f"The service at {url} did not answer: {error}", hint="Is it running? Start it with `leadline up`."
            ) from error


def announce(home: Path, url: str) -> None:
    """Tell commands on this machine where the folder's service listens."""
    (home / "service.json").write_text(json.dumps({"url": url, "pid": os.getpid()}))


def retract(home: Path) -> None:
    (home / "service.json").unlink(missing_ok=True)


def running_url(home: Path) -> str | None:
    """Return the address of the folder's running service; a note left by a killed one does not count."""
    try:
        note = json.loads((home / "service.json").read_text())
        os.kill(note["pid"], 0)
    except (OSError, ValueError, KeyError):
        return None
    return str(note["url"])
