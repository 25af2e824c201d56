"""How right yes and no are, with the real local model and encoder, on records that were written one by one.

python -m tests.eval.yes_or_no repairs   # six questions about forty messages, each as a user would ask it
"""

import argparse
import json
import time
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from retrieval.embedding import Embedder
from rlm.library import pack_limits
from rlm.operators.operators import Operators, finish
from rlm.operators.reading import YES
from rlm.plan.executor import execute
from rlm.plan.layout import look
from rlm.plan.plan import MATCHES
from rlm.plan.rules import plan_by_rules
from rlm.profiles import LOCAL_QWEN
from rlm.subcalls.port import SubCalls
from tests.eval.local_model import local_calls, local_encoder
from tests.support.corpora import corpus_of

HERE = Path(__file__).parent
SETS = ("repairs", "stays")


class AskedTexts(NamedTuple):
    """Texts, and for each question about them the places of those of which it is true."""

    texts: list[str]
    true_of: dict[str, frozenset[int]]


def asked(name: str) -> AskedTexts:
    """One of `SETS`."""
    rows = [json.loads(line) for line in (HERE / f"{name}.jsonl").read_text().splitlines()]
    questions = json.loads((HERE / "questions.json").read_text())[name]
    true_of = {
        text: frozenset(at for at, row in enumerate(rows) if key in row["yes"]) for key, text in questions.items()
    }
    return AskedTexts([row["text"] for row in rows], true_of)


def found(question: str, texts: list[str], calls: SubCalls, embedder: Embedder) -> frozenset[int]:
    """The places of the texts that the plan of a question counts."""
    corpus = corpus_of("\n".join(f"Number: {at} || Text: {text}" for at, text in enumerate(texts, start=1)))
    plan = plan_by_rules(question, look(corpus))
    assert plan is not None, question
    operators = Operators(corpus, calls, embedder, limits=pack_limits(LOCAL_QWEN), weigh=LOCAL_QWEN.log_likelihoods)
    rows = finish(execute(plan, corpus, operators)).rows
    assert len(rows) == len(texts)
    return frozenset(at for at, row in enumerate(rows) if row.values.get(MATCHES) == YES)


def f1(said: Collection[int], true: Collection[int]) -> float:
    both = len(set(said) & set(true))
    return 2 * both / (len(said) + len(true)) if both else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=SETS)
    texts, true_of = asked(parser.parse_args().set)
    begun, scores = time.monotonic(), list[float]()
    with local_calls() as calls, local_encoder() as embedder:
        for question, true in true_of.items():
            said = found(question, texts, calls, embedder)
            scores.append(f1(said, true))
            print(
                f"{question} {len(said)} where it is {len(true)}, {len(said & true)} of them right: F1 {scores[-1]:.2f}"
            )
    print(f"mean F1 {sum(scores) / len(scores):.3f}, {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
