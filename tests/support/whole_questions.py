"""Whole questions about three hundred labelled records, answered with a scripted model."""

import json
from collections.abc import Callable

from rlm.exhaustive import ExhaustiveStrategy

from rlm.answers import Answer
from rlm.corpus.corpus import Corpus
from rlm.operators.operators import Operators
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.support.corpora import corpus_of
from tests.support.labelled_records import PREAMBLE, document, label_of, labelled_records

RECORDS = labelled_records(300)
USERS = sorted({record.user for record in RECORDS})
FORM = " Give the final answer as '{}'."


def strategy(corpus: Corpus, calls: RuleSubCalls) -> ExhaustiveStrategy:
    return ExhaustiveStrategy(corpus, Operators(corpus, calls), calls, "scripted")


def ask(question: str, form: str = "", preamble: str = PREAMBLE) -> Answer:
    corpus = corpus_of(document(RECORDS))
    text = f"{preamble}\n\nQuestion: {question}" + (FORM.format(form) if form else "")
    answer = strategy(corpus, RuleSubCalls(label_of)).answer(text)
    for citation in answer.citations:
        assert corpus.text(corpus.documents[0].handle[citation.start : citation.end]) == citation.quote
    return answer


def first_line(answer: Answer) -> str:
    return answer.text.split("\n")[0]


def filled(rule: Callable[[str], object], question: str = "All told?", **fields: object) -> Answer:
    """The answer by a form; `rule` says what is found in each record."""
    blank = {"yes_no_question": "", "labels": [], "values": [], "where": [], "compute": "count", "column": ""}
    form = json.dumps(blank | fields)
    calls = RuleSubCalls(rule, lambda call: form if call.purpose == "plan" else None)
    return strategy(corpus_of(document(RECORDS)), calls).answer(question)


MANY = labelled_records(1_500)
