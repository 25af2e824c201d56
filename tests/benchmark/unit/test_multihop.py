"""The answer is found a second time by reading every document and following the question's words over what they say."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

import pytest

from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.folder import Question, TaskFolder
from tests.benchmark.tasks.multihop import MultiHopTask
from tests.benchmark.tasks.scoring import score
from tests.benchmark.tasks.word_lists import table
from tests.benchmark.tasks.world import Entity, World, descriptors, relations, years

SOURCE = re.compile(r"The [\w ]+ of (\d{4}) says that ([^.]*)\.")
ENDING = " Where two sources disagree, the later one is right. Give the final answer as 'Answer: <answer>'."
KINDS = {kind for kinds in table("world")["kinds"].values() for kind in kinds}


def sources(folder: TaskFolder) -> Iterator[tuple[int, str]]:
    for text in folder.texts().values():
        for found in SOURCE.finditer(text):
            yield int(found[1]), found[2]


def told_relations(folder: TaskFolder) -> dict[str, dict[str, str]]:
    """By relation, descriptor or year: what each subject's latest source says, as mentions."""
    latest: dict[tuple[str, str], tuple[int, str]] = {}
    patterns = {name: (raw.tell, "object") for name, raw in relations().items()}
    patterns |= {f"year of {kind}": (tell, "year") for kind, (tell, _) in years().items()}
    patterns |= {f"descriptor of {kind}": (raw.tell, "a") for kind, raw in descriptors().items()}
    compiled = {
        name: re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(tell)) + "$")
        for name, (tell, _) in patterns.items()
    }
    for year, clause in sources(folder):
        matches = {name: found for name, pattern in compiled.items() if (found := pattern.match(clause))}
        (name,) = matches
        fields = matches[name].groupdict()
        subject = fields.pop("subject")
        if (name, subject) not in latest or latest[name, subject][0] < year:
            latest[name, subject] = (year, "|".join(fields.values()))
    facts: dict[str, dict[str, str]] = defaultdict(dict)
    for (name, subject), (_, value) in latest.items():
        facts[name][subject] = value
    return facts


def solve(words_: str, facts: dict[str, dict[str, str]]) -> set[str]:
    """The mentions that a description fits, by peeling its relations from the outside."""
    for kind, descriptor in descriptors().items():
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(descriptor.ask))
        if (found := re.fullmatch(pattern, words_)) and _parts_fit(descriptor.a, found["a"]):
            a = next(told for told, asked in descriptor.a if asked == found["a"])
            b = next(told for told, asked in descriptor.b if asked == found["b"])
            return {subject for subject, value in facts[f"descriptor of {kind}"].items() if value == f"{a}|{b}"}
    results: set[str] = set()
    for relation in relations().values():
        forward = re.fullmatch(re.escape(relation.forward).replace(r"\{x\}", "(.+)"), words_)
        if forward and _nests(forward[1]):
            results |= {facts[relation.name][each] for each in solve(forward[1], facts) if each in facts[relation.name]}
        inverse = re.escape(relation.inverse).replace(r"\{x\}", "(.+)").replace(r"\{kind\}", "(.+?)")
        back = re.fullmatch(inverse, words_)
        if back and back[1] in KINDS and _nests(back[2]):
            objects = solve(back[2], facts)
            results |= {
                subject
                for subject, value in facts[relation.name].items()
                if value in objects and subject.startswith(f"the {back[1]} ")
            }
    return results


def _parts_fit(parts: tuple[tuple[str, str], ...], asked: str) -> bool:
    return asked in {each for _, each in parts}


def _nests(words_: str) -> bool:
    return words_.startswith("the ")


def answer(question: Question, facts: dict[str, dict[str, str]]) -> set[str]:
    asked = question.text.removesuffix(ENDING)
    for kind, (_, ask) in years().items():
        found = re.fullmatch(re.escape(ask).replace(r"\{x\}", "(.+)"), asked)
        if found:
            dated = facts[f"year of {kind}"]
            return {dated[subject] for subject in solve(found[1], facts) if subject in dated}
    found = re.fullmatch(r"(?:Who is|What is the (?:name|title) of) (.+)\?", asked)
    assert found, asked
    return solve(found[1], facts)


def test_reading_all_documents_leads_to_the_gold_and_nothing_else(task: Callable[[str], TaskFolder]) -> None:
    facts = told_relations(task("multihop"))
    for question in task("multihop").questions():
        found = answer(question, facts)
        if question.answerable:
            (one,) = found
            assert score(question, f"Answer: {one}") == 1.0, question.text
        else:
            assert found == set(), question.text


def test_an_older_source_says_otherwise_of_some_evidence(task: Callable[[str], TaskFolder]) -> None:
    statements = defaultdict(set)
    for year, clause in sources(task("multihop")):
        statements["old" if year < 1930 else "new"].add(clause)
    assert len(statements["old"]) >= 8
    assert statements["old"].isdisjoint(statements["new"])


def test_each_evidence_span_is_a_statement_and_chains_lead_over_documents(task: Callable[[str], TaskFolder]) -> None:
    documents = task("multihop").texts()
    for question in task("multihop").questions():
        assert not question.answerable or 3 <= len(question.evidence) <= 6
        assert not question.answerable or len({span.document for span in question.evidence}) > 1
        assert all(SOURCE.fullmatch(documents[span.document][span.start : span.end]) for span in question.evidence)


def test_the_question_names_nothing_of_the_world(task: Callable[[str], TaskFolder]) -> None:
    names = table("names")
    invented = {*names["forenames"], *names["surnames"], *table("world")["counties"]}
    for question in task("multihop").questions():
        assert invented.isdisjoint(re.findall(r"\w+", question.text)), question.text


def test_descriptions_share_no_word_with_what_is_told() -> None:
    for descriptor in descriptors().values():
        for told, asked in (*descriptor.a, *descriptor.b):
            assert set(told.split()).isdisjoint(asked.split()), (told, asked)


@pytest.mark.parametrize("seed", range(5))
def test_every_step_of_a_chain_has_one_outcome(seed: int) -> None:
    task = MultiHopTask(Draws("chains", seed), count=8)
    seen: set[object] = set()
    for _ in range(8):
        chain = task.chain()
        assert 3 <= len(chain.facts) <= 6
        assert seen.isdisjoint(chain.facts)
        seen.update(chain.facts)
        subjects = [fact.subject for fact in chain.facts]
        values = [fact.value for fact in chain.facts if isinstance(fact.value, Entity)]
        for before, after in zip(chain.facts, chain.facts[1:], strict=False):
            assert {before.subject, before.value} & {after.subject, after.value}, "steps hang together"
        assert len(set(subjects) | set(values)) >= len(chain.facts) - 1


def test_entities_have_namesakes_of_another_kind() -> None:
    world = World(Draws("world", 1), entities_per_type=40)
    for entities in world.entities.values():
        names = Counter(each.name for each in entities)
        assert sum(count > 1 for count in names.values()) >= 10
        assert len(set(entities)) == len(entities)
