import re
from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.benchmark.tasks.folder import Question, TaskFolder
from tests.benchmark.tasks.needles import Fact, facts, values_of

WHO = "Ottilie Marchbank"
# Words that carry no content, in the sentences of these templates.
COMMON = frozenset(re.findall(r"\w+", "a at by for from in is of that the to up was what which who will with"))
Task = Callable[[str], TaskFolder]


def content(text: str) -> set[str]:
    return {word for word in re.findall(r"[a-z]+", text.replace(WHO, "").lower()) if word not in COMMON}


@pytest.mark.parametrize("fact", facts(), ids=[fact.kind for fact in facts()])
def test_needle_and_question_share_no_word_but_the_name(fact: Fact) -> None:
    for value in values_of(fact) or ("12-345",):
        assert content(fact.question) & content(fact.needle.format(who=WHO, value=value)) <= {"who", "value"}


def test_a_gold_span_holds_the_needle_and_the_needle_stands_nowhere_else(task: Task) -> None:
    documents = task("needles").texts()
    corpus = "\n".join(documents.values())
    for question in answerable(task):
        (span,) = question.evidence
        sentence = documents[span.document][span.start : span.end]
        assert question.gold[0] in sentence
        assert asked_name(question) in sentence
        assert sentence.endswith(".")
        assert corpus.count(sentence) == 1


def test_nothing_in_the_documents_answers_an_unanswerable_question(task: Task) -> None:
    corpus = "\n".join(task("needles").texts().values())
    by_question = {fact.question.partition("{who}")[0]: fact for fact in facts()}
    unanswerable = [question for question in task("needles").questions() if not question.answerable]
    assert len(unanswerable) == 5
    for question in unanswerable:
        name = asked_name(question)
        fact = by_question[question.text.partition(name)[0]]
        told = re.escape(fact.needle).replace(r"\{value\}", ".*").replace(r"\{who\}", re.escape(name))
        assert not re.search(told, corpus)
        assert name in corpus  # it is mentioned, with other facts


def test_people_of_like_names_have_the_same_kind_of_fact(task: Task) -> None:
    corpus = "\n".join(task("needles").texts().values())
    for question in answerable(task):
        fact = next(fact for fact in facts() if fact.kind == question.kind)
        told = re.escape(fact.needle).replace(r"\{value\}", ".*?").replace(r"\{who\}", r"(\w+ \w+)")
        forename, surname = asked_name(question).split()
        others = [name for name in re.findall(told, corpus) if name != f"{forename} {surname}"]
        assert sum(name.startswith(forename) or name.endswith(surname) for name in others) >= 2


def test_needles_stand_at_all_depths(task: Task) -> None:
    (document,) = task("needles").texts().values()
    depths = sorted(question.evidence[0].start / len(document) for question in answerable(task))
    assert depths[0] < 0.2
    assert depths[-1] > 0.8
    assert max(after - before for before, after in pairwise(depths)) < 0.3


def answerable(task: Task) -> list[Question]:
    return [question for question in task("needles").questions() if question.answerable]


def asked_name(question: Question) -> str:
    found = re.search(r"[A-Z]\w+ [A-Z]\w+", question.text[1:])
    assert found
    return found[0]
