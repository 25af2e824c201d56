"""`python -m tests.support.hostile FOLDER` writes all hostile files, each under its number in the list."""

import sys
from pathlib import Path

from tests.support.hostile.all_files import HOSTILE_FILES

for number, file in enumerate(HOSTILE_FILES):
    with (Path(sys.argv[1]) / str(number)).open("wb") as target:
        for block in file.blocks():
            target.write(block)
