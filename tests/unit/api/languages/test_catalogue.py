from api.languages.catalogue import LANGUAGES, Texts, choose_language


def test_a_language_that_was_chosen_comes_before_those_of_the_browser() -> None:
    assert choose_language("de", "en") == "de"
    assert choose_language("xx", "de") == "de"


def test_the_language_of_the_browser_is_the_available_one_with_the_greatest_weight() -> None:
    assert choose_language(None, "fr, en;q=0.3, de-AT;q=0.8") == "de"
    assert choose_language(None, "de;q=0, en;q=0.1") == "en"
    assert choose_language(None, "C, en-US@posix;q=x, ;;;") == "en"
    assert choose_language(None, None) == "en"


def test_a_text_without_a_translation_stays_as_it_is_written() -> None:
    for language in LANGUAGES:
        assert (
            Texts(language).translate("{who} is not a text of the portal", who="{n}")
            == "{n} is not a text of the portal"
        )
        assert Texts(language).translate_count(2, "{n} thing", "{n} things") == "2 things"


def test_a_text_is_translated_in_pages_and_in_scripts() -> None:
    german = Texts("de")
    assert german.translate("Skip to content") == "Zum Inhalt springen"
    assert '"Skip to content": "Zum Inhalt springen"' in german.build_script()
    assert Texts("en").build_script() == "globalThis.leadlineTexts = {}\n"
