"""Makes cards for documents of earlier releases, a few at a time."""

import time
from collections.abc import Callable

import structlog

from ingest.describing.fields import HEAD_CHARS, DescribedText
from ingest.storage.blobs.store import Blobs
from ingest.storage.digests import DigestRecords
from ingest.storage.documents.cards.records import CardDraft, LackingVersion
from ingest.storage.documents.cards.store import Cards
from ingest.storage.errors import ContentChangedError
from ingest.storage.texts.texts import Texts
from retrieval.index.bm25 import SparseEncoder
from retrieval.search.cards import get_card_maker
from workers.tasks.cards import make_card

log = structlog.get_logger(__name__)

_BATCH_VERSIONS = 50
# Once all versions have cards, check again only after this time, because a process of the previous release may add
# versions without cards.
_RECHECK_SECONDS = 3600.0


class CardFiller:
    """Makes cards for versions without one, ordered by id. The catalog records the progress.

    Any number of processes may do this concurrently. Processes of two releases with different rules remake each other's
    cards, but at most once an hour. A version whose text is missing or cannot be decrypted gets no card.
    """

    def __init__(
        self,
        cards: Cards,
        blobs: Blobs,
        digests: DigestRecords,
        encoder: SparseEncoder,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cards = cards
        # Each version is read once, so its map must not evict the maps that searches use.
        self._texts = Texts(blobs, digests, cached_maps=1)
        self._encoder = encoder
        self._clock = clock
        self._after = ""
        self._next = 0.0

    def run_step(self, seconds: float) -> int:
        """Work for about `seconds`, and return the number of versions that got cards."""
        if self._clock() < self._next:
            return 0
        end, filled, maker = self._clock() + seconds, 0, get_card_maker(self._encoder)
        while self._clock() < end:
            lacking = self._cards.list_lacking(maker, self._after, _BATCH_VERSIONS)
            if not lacking:
                self._after, self._next = "", self._clock() + _RECHECK_SECONDS
                self._cards.delete_orphans()
                break
            drafts: dict[LackingVersion, CardDraft] = {}
            last = self._after
            for each in lacking:
                if (draft := self._make_card(each)) is not None:
                    drafts[each] = draft
                last = each.version_id
                if self._clock() >= end:
                    break
            if drafts:
                filled += self._cards.add_missing(maker, drafts)
            self._after = last  # Only now, so that cards that could not be stored are made again.
        if filled:
            log.info("document cards made", versions=filled)
        return filled

    def _make_card(self, lacking: LackingVersion) -> CardDraft | None:
        try:
            text, read = self._texts.read(lacking.version_id, 0, HEAD_CHARS), self._texts.load_map(lacking.version_id)
            described = DescribedText(text, lacking.name, lacking.media_type, read.title, read.layout, read.properties)
            return make_card(described, self._encoder)
        except (KeyError, ContentChangedError, ValueError) as error:
            # Only the type is logged, because the message of a decoding error contains the text.
            log.warning(
                "card not made: stored text cannot be read", version=lacking.version_id, error=type(error).__name__
            )
            return None
