import pytest

from retrieval.index.languages import SAMPLE_CHARS, Language, detect_language

TEXTS = {
    Language.ENGLISH: "The contract ends on the last day of May and is renewed for a year unless a party ends it. ",
    Language.GERMAN: "Der Vertrag endet am letzten Tag im Mai und verlängert sich, wenn ihn keine Seite kündigt. ",
    Language.FRENCH: "Le contrat prend fin le dernier jour de mai et se renouvelle si aucune partie ne le résilie. ",
    Language.RUSSIAN: "Договор заканчивается в последний день мая и продлевается, если ни одна сторона не откажется. ",
}


@pytest.mark.parametrize("language", TEXTS)
def test_a_text_has_the_language_that_it_is_written_in(language: Language) -> None:
    assert detect_language(TEXTS[language] * 3) is language


@pytest.mark.parametrize("text", ["", "Der Vertrag.", "12,345 " * 200, "これは日本語の文章です。" * 40])
def test_a_text_that_is_short_or_has_no_stemmer_is_taken_for_english(text: str) -> None:
    assert detect_language(text) is Language.ENGLISH


def test_a_sample_of_a_text_has_the_texts_language() -> None:
    text = TEXTS[Language.GERMAN] * 80 + TEXTS[Language.ENGLISH] * 300
    assert detect_language(text) is detect_language(text[:SAMPLE_CHARS]) is Language.GERMAN
