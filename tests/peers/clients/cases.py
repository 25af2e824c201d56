"""What each program is tried with; used from the programs' own environments, so it imports nothing."""

import json
from collections.abc import Callable

KEEPER, FOLLOW_UP = "Who kept the lighthouse?", "And when did she first light the lamp?"
ANSWER, SECOND = "Ada Brandt kept it [1].", "She lit it in 1871 [1]."
FORMED, AFTER_TOOL = "name='Ada Brandt'", f"{ANSWER}\n\nThe tool says so."


def tried(case: str, expected: str, do: Callable[[], object]) -> None:
    """Do it, and print whether it gave what was expected; `refused: …` expects an error with these words."""
    try:
        said = str(do()).strip()
    except Exception as error:  # noqa: BLE001 - whatever the program raises is what its user sees
        said = f"refused: {type(error).__name__}: {error}"
    wanted = expected.removeprefix("refused: ")
    works = said == expected or (expected.startswith("refused: ") and said.startswith("refused: ") and wanted in said)
    print(json.dumps({"case": case, "works": works, "said": said[:300]}), flush=True)
