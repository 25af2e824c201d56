import re
from itertools import pairwise

import pytest
from rlm.words import words

from tests.benchmark.tasks.corpus import BenchmarkFolder, Form, Question
from tests.benchmark.tasks.needles import Fact, facts, values_of
from tests.unit.tests.benchmark.tasks.conftest import read_documents

WHO = "Ottilie Marchbank"
ALL = [*facts(), *facts("several")]


@pytest.mark.parametrize("fact", ALL, ids=[fact.kind for fact in ALL])
def test_needle_and_question_share_no_word_but_the_name(fact: Fact) -> None:
    asked = words(fact.question.format(who=WHO)).stems.keys()
    for value in values_of(fact) or ("12-345",):
        told = words(fact.needle.format(who=WHO, value=value)).stems.keys()
        assert asked & told == words(WHO).stems.keys(), fact.kind


def test_a_gold_span_holds_the_needle_and_the_needle_stands_nowhere_else(needles: BenchmarkFolder) -> None:
    documents = read_documents(needles)
    corpus = "\n".join(documents.values())
    for question in answerable(needles):
        (span,) = question.evidence
        sentence = documents[span.document][span.start : span.end]
        assert question.gold[0] in sentence
        assert asked_name(question) in sentence
        assert sentence.endswith(".")
        assert corpus.count(sentence) == 1


def test_nothing_in_the_documents_answers_an_unanswerable_question(needles: BenchmarkFolder) -> None:
    corpus = "\n".join(read_documents(needles).values())
    by_question = {fact.question.partition("{who}")[0]: fact for fact in facts()}
    unanswerable = [question for question in needles.questions() if not question.answerable]
    assert len(unanswerable) == 5
    for question in unanswerable:
        name = asked_name(question)
        fact = by_question[question.text.partition(name)[0]]
        told = re.escape(fact.needle).replace(r"\{value\}", ".*").replace(r"\{who\}", re.escape(name))
        assert not re.search(told, corpus)
        assert name in corpus  # it is mentioned, with other facts


def test_people_of_like_names_have_the_same_kind_of_fact(needles: BenchmarkFolder) -> None:
    corpus = "\n".join(read_documents(needles).values())
    for question in answerable(needles):
        fact = next(fact for fact in facts() if fact.kind == question.kind)
        told = re.escape(fact.needle).replace(r"\{value\}", ".*?").replace(r"\{who\}", r"(\w+ \w+)")
        forename, surname = asked_name(question).split()
        others = [name for name in re.findall(told, corpus) if name != f"{forename} {surname}"]
        assert sum(name.startswith(forename) or name.endswith(surname) for name in others) >= 2


def test_needles_stand_at_all_depths(needles: BenchmarkFolder) -> None:
    (document,) = read_documents(needles).values()
    depths = sorted(question.evidence[0].start / len(document) for question in answerable(needles))
    assert depths[0] < 0.2
    assert depths[-1] > 0.8
    assert max(after - before for before, after in pairwise(depths)) < 0.3


def test_a_question_with_several_needles_has_a_span_for_each_value(several_needles: BenchmarkFolder) -> None:
    documents = read_documents(several_needles)
    for question in answerable(several_needles):
        assert question.form is Form.LIST
        assert 3 <= len(question.gold) == len(question.evidence) <= 8
        for value, span in zip(question.gold, question.evidence, strict=True):
            assert value in documents[span.document][span.start : span.end]


def test_every_value_that_the_documents_give_for_the_name_is_gold(several_needles: BenchmarkFolder) -> None:
    corpus = "\n".join(read_documents(several_needles).values())
    sentences = re.split(r"(?<=\.)\s+", corpus)
    for question in answerable(several_needles):
        fact = next(fact for fact in facts("several") if fact.kind == question.kind)
        told = re.escape(fact.needle).replace(r"\{value\}", "(.+)").replace(r"\{who\}", asked_name(question))
        values = [found[1] for sentence in sentences if (found := re.fullmatch(told, sentence))]
        assert sorted(values) == sorted(question.gold)


def answerable(folder: BenchmarkFolder) -> list[Question]:
    return [question for question in folder.questions() if question.answerable]


def asked_name(question: Question) -> str:
    found = re.search(r"[A-Z]\w+ [A-Z]\w+", question.text[1:])
    assert found
    return found[0]
