"""`leadline estimate`: estimate what a question reads and may spend, without asking it."""

import json
from typing import Annotated

import typer

from api.cli.ask import Collections, Strategy
from api.cli.client import open_client
from api.cli.console import Console
from api.cli.environment import read_settings
from api.cli.filters import FilterOption, parse_attributes
from ingest.storage.counts import format_count
from rlm.requests import StrategyName, normalize_question


def estimate(
    question: Annotated[str, typer.Argument(help="The question.")],
    collection: Collections = None,
    filters: FilterOption = None,
    strategy: Strategy = StrategyName.AUTO,
    background: Annotated[bool, typer.Option("--background", help="Estimate for a background run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the estimate as JSON.")] = False,
) -> None:
    """Estimate what a question reads and may spend, without asking it.

    No model is called. The estimate has the number of documents and tokens in scope, and the limits that the answer
    would have without a budget and without `--confirm`.
    """
    normalize_question(question)
    body = {
        "question": question,
        "collections": collection or [],
        "filters": parse_attributes(filters),
        "strategy": strategy.value,
        "background": background,
    }
    with open_client(read_settings()) as client:
        found = client.post("/v1/answers/estimate", body)
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    Console().print(
        f"In scope: {format_count(found['documents'], 'document')} with about {format_count(found['tokens'], 'token')}."
        f" {found['at_most']}",
        highlight=False,
        soft_wrap=True,
    )
