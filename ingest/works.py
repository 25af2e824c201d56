"""Works: answers and runs, with the versions whose text they were given, so that what was made of a version can go."""

import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

# The work of choosing how to answer has an id of its own: it sees titles and tables that the answer never reads.
ROUTE = "/route"


@dataclass(frozen=True)
class Work:
    """An answer or a run, and every version that it was given so far."""

    id: str
    versions: frozenset[str]


def new_work_id() -> str:
    return str(uuid.uuid4())


class UsedVersions:
    """Notes the versions that one answer is given, before anything that was made of them is stored.

    It notes documents that could not be read, too. Safe in any thread. `earlier` are the versions that the conversation
    before it rests on.
    """

    def __init__(self, work_id: str, earlier: Iterable[str] = ()) -> None:
        self._id = work_id
        self._answer = set(earlier)
        self._route: set[str] | None = None
        self._unreadable: dict[str, str] = {}
        self._lock = threading.Lock()

    def add(self, version_ids: Iterable[str]) -> None:
        with self._lock:
            (self._answer if self._route is None else self._route).update(version_ids)

    def note_unreadable(self, document_id: str, title: str) -> None:
        """Note a document whose stored text was changed or is missing, so that the answer can say so."""
        with self._lock:
            self._unreadable[document_id] = title

    @property
    def unreadable(self) -> Mapping[str, str]:
        """The titles of the documents that could not be read, by their ids."""
        with self._lock:
            return dict(self._unreadable)

    @contextmanager
    def routing(self) -> Iterator[None]:
        """Note what is given within the block as seen for the choice of a strategy, and not for the answer."""
        self._route = set(self._answer)
        try:
            yield
        finally:
            self._route = None

    @property
    def work(self) -> Work:
        """Return what has been noted so far, of the stage that is under way."""
        with self._lock:
            if self._route is not None:
                return Work(self._id + ROUTE, frozenset(self._route))
            return Work(self._id, frozenset(self._answer))
