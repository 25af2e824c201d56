import random
import re
from collections import Counter, defaultdict

import pytest

from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.labels import HELD_OUT, LABEL_SETS, TUNED, Instances, label_set


@pytest.mark.parametrize("name", LABEL_SETS)
def test_first_words_do_not_give_the_label_away(name: str) -> None:
    """A classifier that knows the best label for each pair of first words stays under 0.75 on texts it has not seen."""
    rows = texts(name, per_label=400)
    random.Random(0).shuffle(rows)
    half = len(rows) // 2
    seen: dict[tuple[str, ...], Counter[int]] = defaultdict(Counter)
    for text, label in rows[:half]:
        seen[tuple(text.lower().split()[:2])][label] += 1
    right = sum(
        seen[opening].most_common(1)[0][0] == label
        for text, label in rows[half:]
        if seen[opening := tuple(text.lower().split()[:2])]
    )
    assert right / (len(rows) - half) < 0.75


def test_the_tuned_set_has_the_six_classes_with_forty_templates_each() -> None:
    labels = label_set(TUNED).labels
    assert [label.name for label in labels] == [
        "abbreviation",
        "entity",
        "description and abstract concept",
        "human being",
        "location",
        "numeric value",
    ]
    assert all(len(set(label.templates)) >= 40 for label in labels)


@pytest.mark.parametrize("name", LABEL_SETS)
def test_no_template_belongs_to_two_labels_and_every_slot_can_be_filled(name: str) -> None:
    labels = label_set(name)
    templates = [template for label in labels.labels for template in label.templates]
    assert len(set(templates)) == len(templates)
    assert set(re.findall(r"\{(\w+)\}", " ".join(templates))) <= labels.slots.keys()
    assert all(label.definition for label in labels.labels)


@pytest.mark.parametrize("name", LABEL_SETS)
def test_no_text_has_two_labels(name: str) -> None:
    found: dict[str, set[int]] = defaultdict(set)
    for text, label in texts(name, per_label=1500):
        found[text].add(label)
    assert not [text for text, labels in found.items() if len(labels) > 1]


def test_held_out_sets_share_no_label_with_the_tuned_one() -> None:
    tuned = set(label_set(TUNED).names)
    for name in HELD_OUT:
        assert tuned.isdisjoint(label_set(name).names)


def test_an_unknown_set_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        label_set("../secrets")


def texts(name: str, per_label: int) -> list[tuple[str, int]]:
    labels = label_set(name)
    instances = Instances(labels, Draws("labels", 1))
    return [(instances.text(label), label) for label in range(len(labels.labels)) for _ in range(per_label)]
