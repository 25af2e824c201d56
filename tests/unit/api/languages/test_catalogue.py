import json

import pytest

from api.languages.catalogue import DEFAULT, LANGUAGES, Texts, choose_language
from api.settings.describe import describe_settings
from api.settings.settings import Settings
from ingest.storage.remarks import REMARKS, Remark, convert_remark_to_json, name_problem
from rlm.answers import Coverage
from tests.texts.extraction import list_descriptions_of_settings, list_modules


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
    assert '"Dismiss": "Ausblenden"' in german.build_script(["admin_banner.js"])
    assert Texts("en").build_script(["admin_banner.js"]) == "globalThis.leadlineTexts = {}\n"


def test_a_remark_of_the_service_is_said_in_the_language_with_its_values() -> None:
    why = name_problem("budget_exhausted", "The budget is spent")
    remark = Remark("rows_not_judged", column="late", n=1_200, problem=why)
    coded = convert_remark_to_json(remark)
    assert Texts("de").translate_remark(coded, remark) == (
        "Für „late“ haben 1.200 Zeilen kein Ergebnis: The budget is spent."
    )
    assert Texts("en").translate_remark(coded, remark) == remark
    assert Texts("de").translate_remark(None, "The model's own words.") == "The model's own words."
    assert Texts("de").translate_remark({"code": "of_a_later_release", "values": {}}, "Later.") == "Later."
    limits = Remark("limits", parts=[Remark("calls_of_model", n=500), Remark("hours", hours=1.5)])
    said = Texts("de").translate_remark(convert_remark_to_json(limits), limits)
    assert said == "Höchstens 500 Aufrufe des Sprachmodells, 1,5 h."


def test_the_portal_gets_a_text_for_each_code_of_a_remark() -> None:
    script = Texts("de").build_script(["admin_banner.js"]).splitlines()[1]
    remarks = json.loads(script.removeprefix("globalThis.leadlineRemarks = "))
    assert list(remarks) == list(REMARKS)
    assert all(remarks.values())


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {DEFAULT}))
def test_each_setting_is_described_in_the_language_by_a_script_of_its_own(language: str) -> None:
    script = Texts(language).build_settings_script()
    described = json.loads(script.removeprefix("globalThis.leadlineSettings = "))
    english = list_descriptions_of_settings()
    assert {each.description for each in describe_settings((Settings(),), {})} <= set(english)
    assert [each for each in english if not described.get(each)] == []
    assert json.dumps(max(english, key=len), ensure_ascii=False) not in Texts(language).build_script(
        [each.name for each in list_modules()]
    )


def test_how_much_was_read_is_said_in_the_language() -> None:
    coverage = Coverage(11_000_000, 200_000, 10_000_000, units=24, units_read=3, units_searched=21, units_failed=1)
    said = coverage.to_sentence()
    assert said == (
        "Of 11,000,000 tokens, a model read 200,000 and code searched 10,000,000; 800,000 were not opened; "
        "1 document failed."
    )
    assert Texts("de").translate_remark(convert_remark_to_json(said), said) == (
        "Von 11.000.000 Tokens las ein Modell 200.000, und Code durchsuchte 10.000.000; "
        "800.000 wurden nicht geöffnet; fehlgeschlagen: 1 Dokument."
    )


def test_why_an_answer_may_not_be_computed_is_said_in_the_language() -> None:
    doubt = Remark("doubt", names="12", why=Remark("doubt_same", lost=Remark("doubt_lost", failed=1, runs=4)))
    said = Remark("sentence_not_computed", sentence="Es sind 12.", why=doubt)
    assert Texts("de").translate_remark(convert_remark_to_json(said), said) == (
        "Der Satz „Es sind 12.“ ist nicht als berechnet markiert: 12 blieb gleich, wie auch immer der gelesene Text "
        "geändert wurde (1 von 4 Läufen endeten ohne Antwort)."
    )
