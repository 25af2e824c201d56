"""Finds words in conversations: in their titles, their questions, and the texts of their answers.

Answers are searched as their readers see them: a name that is masked in an answer cannot be found in it.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from ingest.storage.accounts.access import Readers
from ingest.storage.answers.masking import load_masks
from ingest.storage.answers.records import Conversation, FoundConversation, FoundConversations
from ingest.storage.db.database import iter_slices
from ingest.storage.db.schema import answers
from ingest.storage.documents.listing import fold_text

# A call searches at most this many conversations, so that it ends soon. Callers continue after them.
CONVERSATIONS_PER_SEARCH = 500
_CONVERSATIONS_AT_ONCE = 50
_EXCERPT_CHARS = 120


def search_conversations(
    connection: Connection, query: Select[Any], readers: Readers, words: str, limit: int
) -> FoundConversations:
    """Return up to `limit` conversations of a query that contain all of these words.

    A word is found anywhere, also within a longer word, in upper or lower case. `query` selects conversations, newest
    first. At most `CONVERSATIONS_PER_SEARCH` of them are searched.
    """
    wanted = fold_text(words).split()
    listed = [
        Conversation.from_row(row._mapping) for row in connection.execute(query.limit(CONVERSATIONS_PER_SEARCH + 1))
    ]
    searched = listed[:CONVERSATIONS_PER_SEARCH]
    found: list[FoundConversation] = []
    for at in range(0, len(searched), _CONVERSATIONS_AT_ONCE):
        some = searched[at : at + _CONVERSATIONS_AT_ONCE]
        texts = _load_texts(connection, [each.id for each in some], readers, wanted)
        for position, each in enumerate(some, start=at):
            if len(found) == limit:
                return FoundConversations(found, searched[position - 1].sequence)
            match = _find_words(each.title, texts.get(each.id, []), wanted)
            if match is not None:
                found.append(FoundConversation(each, match))
    return FoundConversations(found, searched[-1].sequence if len(listed) > len(searched) else None)


def _load_texts(
    connection: Connection, identifiers: Sequence[str], readers: Readers, wanted: Sequence[str]
) -> dict[str, list[str]]:
    """Load the questions and the masked answers of conversations that contain any of the words."""
    text = answers.c.answer["text"].as_string().label("text")
    columns = answers.c.id, answers.c.conversation_id, answers.c.question, text
    rows: list[Row[Any]] = []
    for some in iter_slices(identifiers):
        query = select(*columns).where(answers.c.conversation_id.in_(some)).order_by(answers.c.turn)
        rows += connection.execute(query).all()
    # Masks are only loaded for answers in which a word occurs, because loading them costs more than the search.
    matching = [row.id for row in rows if any(word in fold_text(row.text or "") for word in wanted)]
    # guard: conversation-search-masked
    masks = load_masks(connection, readers, matching)
    found: dict[str, list[str]] = {}
    for row in rows:
        said = masks[row.id].mask_text(row.text) if row.id in masks else ""
        found.setdefault(row.conversation_id, []).extend((row.question, said))
    return found


def _find_words(title: str, texts: Iterable[str], wanted: Sequence[str]) -> str | None:
    """Return the text around the first word that the title lacks, or None if a word is found nowhere."""
    folded_title = fold_text(title)
    missing = [word for word in wanted if word not in folded_title]
    excerpt = ""
    left = set(missing)
    for text in texts:
        folded = fold_text(text)
        here = [word for word in missing if word in left and word in folded]
        if here and not excerpt:
            excerpt = _cut_excerpt(text, here[0])
        left -= set(here)
    return None if left else excerpt


def _cut_excerpt(text: str, word: str) -> str:
    plain = " ".join(text.split())
    match = re.search(re.escape(word), plain, re.IGNORECASE)
    # A word that folding has changed, such as one with wide characters, is not found again: then the text begins.
    start = max(0, match.start() - _EXCERPT_CHARS // 3) if match else 0
    end = start + _EXCERPT_CHARS
    return ("…" if start else "") + plain[start:end].strip() + ("…" if end < len(plain) else "")
