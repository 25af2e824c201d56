"""Figures that a correct implementation reproduces, through the whole service."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# nDCG@10. Published for SciFact: BM25 0.679 to 0.692, all-MiniLM-L6-v2 0.645 to 0.647, fused 0.715 to 0.732; hybrid
# search measures 0.737, and 0.748 with feedback. The others' are our own, less 0.01.
FLOORS: Mapping[str, Mapping[str, float]] = {
    "xquad": {"hybrid": 0.97},
    "cranfield": {"bm25": 0.383, "dense": 0.4, "hybrid": 0.428, "feedback": 0.448},
    "scifact": {"bm25": 0.672, "dense": 0.645, "hybrid": 0.727, "feedback": 0.738},
}


@pytest.mark.timeout(1800)  # thousands of documents, and another process of the suite beside them
@pytest.mark.parametrize(
    "collection", ["xquad", *(pytest.param(name, marks=pytest.mark.long) for name in ("cranfield", "scifact"))]
)
def test_judged_questions_find_what_they_should(data_folder: Path, encoder_files: Path, collection: str) -> None:
    floors = FLOORS[collection]
    command = [sys.executable, "-c", "from api.cli.main import main; main()"]
    done = subprocess.run(
        [*command, "eval", "retrieval", str(data_folder / collection), "--json", *(f"-s{search}" for search in floors)],
        env={**os.environ, "LEADLINE_MODELS": str(encoder_files)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    figures = json.loads(done.stdout)["searches"]
    measured = {mode: round(figures[mode]["ndcg@10"]["mean"], 4) for mode in floors}
    assert {mode: value for mode, value in measured.items() if value < floors[mode]} == {}, measured
