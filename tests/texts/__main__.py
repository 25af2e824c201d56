"""Compares the catalogues with the texts in the code, or writes them: `python -m tests.texts [--write]`."""

import argparse
import sys

from api.languages.catalogue import DEFAULT, LANGUAGES
from tests.texts.extraction import LOCALES, list_messages, read_catalogue, render_catalogue


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.texts", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the catalogues")
    wanted = parser.parse_args()
    complete = True
    for language in (each for each in LANGUAGES if each != DEFAULT):
        path, content = LOCALES / f"{language}.po", render_catalogue(language)
        if wanted.write:
            path.write_text(content)
        elif content != path.read_text():
            print(f"{path.name} differs from the texts in the code: run `make texts`.")
            complete = False
        missing = [
            each.id for each in list_messages(read_catalogue(language)) if not each.string or not all(each.string)
        ]
        for text in missing:
            print(f"{path.name} has no translation of {text!r}")
        complete = complete and not missing
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
