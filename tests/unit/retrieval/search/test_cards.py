"""Cards of documents: what they are made of, and how documents are scored by them."""

import struct
from collections.abc import Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.storage.documents.cards.records import CardDraft, StoredCard
from ingest.storage.documents.rows import VisibleVersion
from retrieval.index.bm25 import Bm25Encoder, EarlierBm25Encoder
from retrieval.search.cards import COVER_CHARS, CardRanker, draft_card, get_card_maker, pack_terms, unpack_terms
from tests.fakes.memory_cards import MemoryCards

ENCODER = Bm25Encoder()
GERMAN = "Der Vertrag zwischen der Stadt und den Versorgern regelt die Lieferung von Wasser und die Preise. " * 3


class Ranked:
    """A ranker over cards that are put in one by one."""

    def __init__(self) -> None:
        self.cards = MemoryCards()
        self.corpus = 1
        self.ranker = CardRanker(self.cards, ENCODER, lambda _: self.corpus)
        self.versions: dict[str, VisibleVersion] = {}

    def put(self, version: str, text: str, *, title: str = "", name: str = "scan.pdf") -> None:
        self.cards.drafts[version] = draft_card(text, ENCODER)
        self.name(version, title, name)

    def name(self, version: str, title: str, name: str = "scan.pdf") -> None:
        self.versions[version] = VisibleVersion(version, f"doc-{version}", "default", title, {}, None, name)

    def score(self, query: str, *versions: str) -> Mapping[str, float]:
        found = self.find(query, *versions)
        assert found is not None
        return found

    def find(self, query: str, *versions: str) -> dict[str, float] | None:
        some = versions or tuple(self.versions)
        return self.ranker.score_documents("ann", query, [self.versions[each] for each in some])


@pytest.fixture
def ranked() -> Ranked:
    return Ranked()


@given(st.dictionaries(st.integers(0, 2**32 - 1), st.floats(0, 1e6, width=32), max_size=50))
def test_packed_terms_are_unpacked_as_they_were(terms: dict[int, float]) -> None:
    ids, frequencies = unpack_terms(pack_terms(terms))
    assert dict(zip(ids.tolist(), frequencies.tolist(), strict=True)) == terms


def test_terms_are_packed_in_the_same_bytes_on_every_machine() -> None:
    assert pack_terms({}) == b""
    assert pack_terms({1: 2.5, 0xFFFF_FFFE: 0.5}) == struct.pack("<IIff", 1, 0xFFFF_FFFE, 2.5, 0.5)


@given(st.text(max_size=50), st.integers(0, 100))
def test_a_card_depends_only_on_the_start_of_the_text(text: str, times: int) -> None:
    text *= times
    assert draft_card(text, ENCODER) == draft_card(text[:COVER_CHARS], ENCODER)


def test_a_card_has_the_words_of_the_first_page_and_no_later_ones(ranked: Ranked) -> None:
    ranked.put("v1", "harbour " * 199 + "lighthouse anchor")
    ranked.put("v2", "harbour " * 201)
    assert ranked.score("lighthouse")["v1"] > ranked.score("lighthouse")["v2"] == 0
    assert ranked.score("anchor") == {"v1": 0.0, "v2": 0.0}


def test_a_card_says_who_made_it_and_its_language() -> None:
    assert draft_card(GERMAN, ENCODER).language == "german"
    assert draft_card("", ENCODER) == CardDraft(get_card_maker(ENCODER), "english", b"")
    assert get_card_maker(ENCODER) != get_card_maker(EarlierBm25Encoder())


def test_a_document_scores_by_the_words_that_the_others_lack(ranked: Ranked) -> None:
    for number, company in enumerate(("Acme", "Borealis", "Cedar")):
        ranked.put(f"v{number}", f"Quarterly report of {company}, a company of the state of Maine.")
    scores = ranked.score("the quarterly report of Borealis")
    assert max(scores, key=lambda version: scores[version]) == "v1"
    assert scores["v0"] == scores["v2"] < 0.25 * scores["v1"]


def test_a_word_that_all_documents_share_counts_nearly_nothing(ranked: Ranked) -> None:
    for number in range(20):
        ranked.put(f"v{number}", f"report {'acme' if number == 7 else 'other'}")
    assert ranked.score("report")["v7"] < 0.02 * ranked.score("acme")["v7"]
    assert ranked.score("unknown") == dict.fromkeys(ranked.versions, 0.0)
    assert ranked.score("") == dict.fromkeys(ranked.versions, 0.0)


def test_only_the_given_versions_have_an_effect(ranked: Ranked) -> None:
    for number in range(3):
        ranked.put(f"v{number}", f"report {'acme' if number == 0 else 'other'}")
    before = ranked.score("acme report", "v0", "v1")
    for number in range(3, 30):
        ranked.put(f"v{number}", "acme acme report")
    assert ranked.score("acme report", *ranked.versions)["v0"] != before["v0"]
    assert ranked.score("acme report", "v0", "v1") == before


def test_a_phrase_counts_for_more_than_its_words_in_other_places(ranked: Ranked) -> None:
    ranked.put("v1", "third quarter of the year")
    ranked.put("v2", "quarter of the third year")
    scores = ranked.score("third quarter")
    assert scores["v1"] > scores["v2"] > 0


def test_without_the_card_of_each_version_there_are_no_scores(ranked: Ranked) -> None:
    ranked.put("v1", "acme")
    ranked.put("v2", "borealis")
    del ranked.cards.drafts["v2"]
    assert ranked.find("acme", "v1", "v2") is None
    assert ranked.find("acme", "v1") is not None
    ranked.put("v2", "borealis")
    assert ranked.find("acme", "v1", "v2") is not None


def test_a_card_by_other_rules_is_no_card(ranked: Ranked) -> None:
    ranked.put("v1", "acme")
    ranked.cards.drafts["v1"] = draft_card("acme", EarlierBm25Encoder())
    assert ranked.find("acme", "v1") is None


def test_titles_and_file_names_count_and_a_changed_title_at_once(ranked: Ranked) -> None:
    ranked.put("v1", "report", name="acme-2022.pdf")
    ranked.put("v2", "report", name="scan.pdf")
    assert ranked.score("acme 2022")["v1"] > ranked.score("acme 2022")["v2"] == 0
    ranked.name("v2", "Acme 2022")
    assert ranked.score("acme 2022")["v2"] == ranked.score("acme 2022")["v1"]
    ranked.name("v2", "Borealis")
    assert ranked.score("acme 2022")["v2"] == 0
    assert ranked.cards.loaded == ["v1", "v2", "v2", "v2"]  # its card is made again, with the new title


@pytest.mark.parametrize("title", ["", "acme", "acme.pdf"])
def test_a_title_that_is_the_files_name_counts_once(ranked: Ranked, title: str) -> None:
    ranked.put("v1", "report", title=title, name="acme.pdf")
    ranked.put("v2", "report", title="Another title", name="acme.pdf")
    ranked.put("v3", "report", title="Acme", name="acme report.pdf")
    scores = ranked.score("acme")
    assert scores["v1"] == scores["v2"] < scores["v3"]


def test_a_document_without_a_text_is_scored_by_its_name(ranked: Ranked) -> None:
    ranked.put("v1", "", name="acme.csv")
    ranked.put("v2", "borealis", name="scan.pdf")
    assert ranked.score("acme")["v1"] > ranked.score("acme")["v2"] == 0


def test_words_that_were_written_on_a_card_count_after_a_change_of_the_corpus(ranked: Ranked) -> None:
    for version in ("a", "b"):
        ranked.put(version, "Terms of the lease of a harbour office.")
    assert len(set(ranked.score("lease of Brandt").values())) == 1
    ranked.cards.written["b"] = "Ada Brandt\n2023-Q1"
    ranked.corpus += 1
    scores = ranked.score("lease of Brandt")
    assert scores["b"] > scores["a"]


def test_names_are_read_in_the_language_of_the_document(ranked: Ranked) -> None:
    ranked.put("v1", GERMAN, name="Verträge.pdf")
    ranked.put("v2", GERMAN, name="scan.pdf")
    scores = ranked.score("Vertrages")
    assert scores["v1"] > scores["v2"]


def test_figures_are_found_however_they_are_grouped(ranked: Ranked) -> None:
    ranked.put("v1", "invoice 12345")
    ranked.put("v2", "invoice 54321")
    scores = ranked.score("the invoice 12,345")
    assert scores["v1"] > scores["v2"]


def test_cards_are_loaded_once_and_the_longest_unused_are_forgotten(ranked: Ranked) -> None:
    for number in range(5_002):
        ranked.cards.drafts[f"v{number}"] = CardDraft(get_card_maker(ENCODER), "english", b"")
        ranked.name(f"v{number}", "")
    versions = list(ranked.versions)
    ranked.score("acme", *versions[:3_000])
    ranked.score("acme", *versions[:2])
    ranked.score("acme", *versions[3_000:])
    assert ranked.cards.loaded == versions
    ranked.score("acme", "v0", "v1")
    assert ranked.cards.loaded == versions
    ranked.score("acme", "v2", "v3")
    assert ranked.cards.loaded == [*versions, "v2", "v3"]


def test_cards_do_not_stay_in_memory_after_a_change_of_the_corpus(ranked: Ranked) -> None:
    ranked.put("v1", "acme")
    ranked.put("v2", "borealis")
    ranked.score("acme", "v1")
    ranked.corpus = 2
    ranked.score("acme", "v2")
    assert ranked.score("acme", "v1")["v1"] > 0
    assert ranked.cards.loaded == ["v1", "v2", "v1"]


def test_a_version_that_was_ingested_again_is_scored_by_its_new_card(ranked: Ranked) -> None:
    ranked.put("v1", "acme")
    assert ranked.score("acme", "v1")["v1"] > 0
    ranked.put("v1", "borealis")
    ranked.corpus = 2
    assert ranked.score("acme", "v1")["v1"] == 0


def test_a_card_that_was_loaded_during_a_change_of_the_corpus_is_not_kept(ranked: Ranked) -> None:
    ranked.put("v1", "acme")
    load, cards = ranked.cards.load_cards, ranked.cards

    def change_in_between(version_ids: Collection[str], maker: str) -> Mapping[str, StoredCard]:
        found = load(version_ids, maker)
        if ranked.corpus == 1:
            ranked.corpus = 2
            ranked.put("v1", "borealis")
            ranked.score("acme", "v1")  # another search, which sees the new corpus
        return found

    cards.load_cards = change_in_between  # type: ignore[method-assign]
    ranked.score("acme", "v1")
    assert ranked.score("acme", "v1")["v1"] == 0


def test_scores_do_not_depend_on_which_cards_are_in_memory(ranked: Ranked) -> None:
    for number in range(9):
        ranked.put(
            f"v{number}", f"annual report {number} of {('Acme', 'Borealis', 'Cedar')[number % 3]} in {number % 4}"
        )
    query = "the annual report 7 of Borealis and Acme in 2 and 3"
    whole = ranked.score(query)
    for held in (("v8",), ("v3", "v1"), ("v5", "v4", "v0", "v7")):
        ranked.corpus += 1
        ranked.score("acme", *held)
        assert ranked.score(query) == whole
