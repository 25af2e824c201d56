"""The catalogue of texts: `api/languages/locales/*.po` against the texts of the portal and of the Slack bot.

    python -m tests.texts             compare the catalogue with the texts in the code, and print the differences
    python -m tests.texts --write     write the catalogue: new texts without a translation, and no obsolete texts

`extraction.py` finds the texts that are translated, and `untranslated.py` finds texts that people see and that no
function translates. `tests/unit/api/languages/test_texts.py` fails while there are differences.
"""
