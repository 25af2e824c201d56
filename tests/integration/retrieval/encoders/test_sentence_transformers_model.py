"""Reading about a model imports no torch."""

import subprocess
import sys
from pathlib import Path

from tests.unit.retrieval.encoders.test_sentence_transformers_model import folder_of, located


def test_size_and_prompts_are_read_without_loading_anything(tmp_path: Path) -> None:
    found = located(folder_of(tmp_path, prompts={"query": "q: ", "passage": "p: "}))
    assert (found.dimension, found.query_prompt, found.document_prompt) == (32, "q: ", "p: ")
    script = (
        "import retrieval.build, retrieval.encoders.sentence_transformers_model, sys; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
