"""How right labels are, with the real local model and encoder, on records that were written one by one.

python -m tests.eval.classification questions             # the whole set
python -m tests.eval.classification messages --limit 60   # its first 60, in some minutes
python -m tests.eval.classification FOLDER                # the records of a benchmark folder, with the labels they hide
"""

import argparse
import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from rlm.answers import Usage
from rlm.benchmark.corpus import BenchmarkFolder
from rlm.benchmark.labels import label_set
from rlm.corpus.records import SplitBy, Splitting, split
from rlm.library import pack_limits
from rlm.operators.classifier import wilson
from rlm.operators.operators import Operators, finish
from rlm.profiles import LOCAL_QWEN
from rlm.subcalls.port import SubCalls
from tests.eval.local_model import local_calls, local_encoder
from tests.support.corpora import corpus_of
from tests.support.oracle import labelled_instances

HERE = Path(__file__).parent
SETS = ("questions", "messages", "news", "clauses", "citizens", "incidents", "opinions")


class LabelledTexts(NamedTuple):
    """Texts with their labels, in a fixed order without pattern, and what each label means."""

    rows: list[tuple[str, str]]
    definitions: dict[str, str]


def labelled(name: str, limit: int | None = None) -> LabelledTexts:
    """One of `SETS`, or the records of a benchmark folder; the first `limit` of them.

    Raises `FileNotFoundError` where neither is, and `KeyError` for a folder whose task has no label set.
    """
    if name in SETS:
        rows = [json.loads(line) for line in (HERE / f"{name}.jsonl").read_text().splitlines()]
        definitions = json.loads((HERE / "definitions.json").read_text())[name]
        return LabelledTexts([(row["text"], row["label"]) for row in rows][:limit], definitions)
    folder = BenchmarkFolder(Path(name))
    labels = label_set(folder.about()["labels"])
    rows = list(labelled_instances(folder))[:limit]
    return LabelledTexts(rows, {each.name: each.definition for each in labels.labels})


def accuracy(texts: LabelledTexts, calls: SubCalls, *, encoder: bool) -> tuple[int, int, Usage]:
    """How many labels are right, of how many, and what they cost."""
    rows = texts.rows
    corpus = corpus_of("\n".join(text for text, _ in rows), markdown=False)
    records = split(corpus, Splitting(SplitBy.LINE)).handles
    with local_encoder() if encoder else nullcontext() as embedder:
        weigh = LOCAL_QWEN.log_likelihoods
        operators = Operators(corpus, calls, embedder, limits=pack_limits(LOCAL_QWEN), weigh=weigh)
        found = finish(operators.classify(records, texts.definitions))
    right = sum(label == wanted for label, (_, wanted) in zip(found.labels, rows, strict=True))
    return right, len(rows), found.usage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", metavar="SET", help=f"{', '.join(SETS)}, or a folder of `leadline bench rlm-generate`")
    parser.add_argument("--limit", type=int, help="the first so many")
    parser.add_argument("--no-encoder", action="store_true", help="the model alone")
    chosen = parser.parse_args()
    try:
        texts = labelled(chosen.set, chosen.limit)
    except (FileNotFoundError, KeyError):
        parser.error(f"{chosen.set!r} is none of {', '.join(SETS)}, and no benchmark folder with labelled records.")
    with local_calls() as calls:
        begun = time.monotonic()
        right, count, usage = accuracy(texts, calls, encoder=not chosen.no_encoder)
        seconds = time.monotonic() - begun
    low, high = wilson(right / count, count)
    print(f"{chosen.set}: {right} of {count} right, {right / count:.3f} ({low:.2f} to {high:.2f})")
    print(f"{seconds:.0f} s, {usage}")


if __name__ == "__main__":
    main()
