"""Datasette's `llm`: the command line, with a model that its own file of models describes."""

import json
import os
import subprocess
import sys
from pathlib import Path

from cases import ANSWER, FOLLOW_UP, KEEPER, SECOND, tried

home = Path(os.environ["HOME"])
# As its documentation says for other servers; without a name of a key it sends none of the user's.
(home / "extra-openai-models.yaml").write_text(
    "- model_id: leadline\n  model_name: leadline\n  api_key_name: leadline\n"
    f"  api_base: {os.environ['OPENAI_BASE_URL']}\n"
)
(home / "keys.json").write_text(json.dumps({"leadline": os.environ["OPENAI_API_KEY"]}))
program = Path(sys.executable).parent / "llm"


def llm(*arguments: str) -> str:
    environment = {**os.environ, "LLM_USER_PATH": str(home)}
    done = subprocess.run([program, *arguments], capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


tried("llm -m leadline", ANSWER, lambda: llm("-m", "leadline", KEEPER))
tried("llm -c", SECOND, lambda: llm("-c", FOLLOW_UP))
tried("llm --no-stream", ANSWER, lambda: llm("-m", "leadline", "--no-stream", KEEPER))
tried("llm --system", ANSWER, lambda: llm("-m", "leadline", "--system", "Speak like a pirate.", KEEPER))
