"""Questions about pairs of users: what is computed is compared with counting by hand."""

from collections import Counter
from itertools import combinations

import pytest

from rlm.answers import Answer
from rlm.plan.layout import look
from rlm.plan.rules import plan_by_rules
from tests.support.corpora import corpus_of
from tests.support.labelled_records import PREAMBLE, document
from tests.support.whole_questions import RECORDS, USERS, ask


def pairs_of(answer: Answer) -> set[tuple[int, int]]:
    assert answer.result is not None
    assert isinstance(answer.result.value, list)
    return {(int(low), int(high)) for low, high in answer.result.value}


def of_user(user: int) -> Counter[str]:
    return Counter(record.label for record in RECORDS if record.user == user)


def test_pairs_of_users_that_both_have_one_of_two_labels_by_a_day() -> None:
    answer = ask(
        "List all pairs of two different users where both users have at least one record with the label 'tool' or the "
        "label 'plant', and all of a user's records with the label 'tool' are after Mar 01, 2022 (also true if there "
        "is none). Give every pair once, as (lower ID, higher ID), one pair per line."
    )
    fit = [
        user
        for user in USERS
        if of_user(user)["tool"] + of_user(user)["plant"]
        and all(r.when.isoformat() > "2022-03-01" for r in RECORDS if (r.user, r.label) == (user, "tool"))
    ]
    assert pairs_of(answer) == set(combinations(fit, 2))
    assert 0 < len(fit) < len(USERS)


@pytest.mark.parametrize("wanted", ["a record", "at least one record", "any records"])
def test_pairs_of_users_that_both_have_a_record_of_a_label(wanted: str) -> None:
    answer = ask(f"List all pairs of users where both users have {wanted} with the label 'plant'.")
    assert pairs_of(answer) == set(combinations([user for user in USERS if of_user(user)["plant"]], 2))


@pytest.mark.parametrize(
    "what",
    [
        "both like the label 'plant'",
        "neither user has a record with the label 'plant'",
        "both users do not have any records with the label 'plant'",
        "both users have a record with the label 'tool' and no records with the label 'plant'",
    ],
)
def test_pairs_of_users_in_words_that_no_rule_reads_are_left_to_the_model(what: str) -> None:
    corpus = corpus_of(document(RECORDS))
    assert plan_by_rules(f"{PREAMBLE} Question: List all pairs of users where {what}.", look(corpus)) is None


def test_pairs_of_users_of_which_each_meets_another_condition() -> None:
    low, high = USERS[1], USERS[-2]
    answer = ask(
        f"List all pairs of two different users with an ID from {low} to {high} where one of the two has at least 9 "
        "records with the label 'animal' and at least 6 records with the label 'plant', and the other has exactly 5 "
        "records with the label 'tool'. Give every pair once, as (lower ID, higher ID), one pair per line."
    )
    some = [user for user in USERS if low <= user <= high]
    one = {user for user in some if of_user(user)["animal"] >= 9 and of_user(user)["plant"] >= 6}
    other = {user for user in some if of_user(user)["tool"] == 5}
    expected = {(a, b) for a, b in combinations(some, 2) if (a in one and b in other) or (a in other and b in one)}
    assert pairs_of(answer) == expected
    assert expected
