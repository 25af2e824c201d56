"""One question to one peer, in the peers' environment: JSON on standard input, `{"answer": …}` as the last line out.

It imports nothing of ours: it runs where only the peers are installed.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def corpus(folder: str) -> str:
    """All documents as one text, each under its name."""
    paths = sorted(Path(folder).iterdir())
    return "\n\n".join(f"=== {path.name} ===\n{path.read_text('utf-8')}" for path in paths)


def rlms(library: Any, asked: dict[str, Any]) -> str:  # noqa: ANN401 - a package that is not installed here
    """The official implementation with its defaults, at depth one."""
    model = {"model_name": asked["model"], "base_url": asked["url"], "api_key": "none"}
    peer = library.RLM(
        backend="openai",
        backend_kwargs=model,
        environment="local",
        max_timeout=asked["seconds"],
        sampling_args={"temperature": 0, "max_tokens": asked["max_tokens"]},
    )
    return str(peer.completion(corpus(asked["documents"]), root_prompt=asked["question"]).response)


def dspy(library: Any, asked: dict[str, Any]) -> str:  # noqa: ANN401 - a package that is not installed here
    """`dspy.RLM` with its defaults and the interpreter that needs no download."""
    interpreter = import_module("dspy.primitives.local_interpreter").LocalInterpreter
    model = library.LM(
        f"openai/{asked['model']}",
        api_base=asked["url"],
        api_key="none",
        temperature=0,
        max_tokens=asked["max_tokens"],
        cache=False,
        num_retries=0,
    )
    with library.context(lm=model):
        peer = library.RLM("context, question -> answer", interpreter_factory=interpreter)
        return str(peer(context=corpus(asked["documents"]), question=asked["question"]).answer)


SYSTEMS: dict[str, tuple[str, Callable[[Any, dict[str, Any]], str]]] = {"rlms": ("rlm", rlms), "dspy": ("dspy", dspy)}


def main() -> None:
    asked = json.load(sys.stdin)
    module, system = SYSTEMS[asked["system"]]
    begun = time.monotonic()
    try:
        library = import_module(module)
        begun = time.monotonic()  # without the import, which a service does once
        outcome = {"answer": system(library, asked)}
    except Exception as error:  # noqa: BLE001 - whatever a peer raises is its outcome
        outcome = {"error": f"{type(error).__name__}: {str(error)[:500]}"}
    print(json.dumps({**outcome, "seconds": time.monotonic() - begun}))


if __name__ == "__main__":
    main()
