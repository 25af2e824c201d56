"""People who signed in with an identity provider, on each database."""

import pytest
from sqlalchemy import Engine

from ingest.storage.accounts.grants import Grants
from ingest.storage.accounts.people import People, Person
from ingest.storage.accounts.records import Principal, Profile, Role
from ingest.storage.accounts.users import Users
from ingest.storage.errors import PersonAmbiguousError, PersonUnknownError
from ingest.storage.operations.tenant_data import remove_tenant_rows

WEEK = 7 * 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def people(engine: Engine, clock: Clock) -> People:
    return People(engine, clock=clock)


def sign_in(
    people: People, user: str, name: str, mail: str | None = None, *, tenant: str = "ann", is_verified: bool = True
) -> None:
    profile = Profile(name, mail, is_verified and mail is not None)
    caller = Principal(tenant, None, name, user=user, groups=frozenset({"staff"}), profile=profile)
    people.record_sign_in(caller, groups_seconds=WEEK)


def test_a_person_is_stored_at_the_sign_in_and_updated_at_the_next(people: People, clock: Clock) -> None:
    sign_in(people, "id-1", "Eve Adams", "Eve@example.org")
    clock.now += 60
    sign_in(people, "id-1", "Eve Brown")
    assert people.list_people("ann") == [Person("id-1", "Eve Brown", None, False, ("staff",), clock.now)]
    assert people.count_group_members("ann") == {"staff": 1}


def test_the_caller_of_a_key_is_no_person(people: People) -> None:
    people.record_sign_in(Principal("ann", "key-1", "laptop", user="anna"), groups_seconds=WEEK)
    assert people.list_people("ann") == []


def test_two_people_with_one_name_stay_two_and_pages_do_not_skip_either(people: People) -> None:
    for user in ("id-2", "id-1", "id-3"):
        sign_in(people, user, "Eve Adams")
    sign_in(people, "id-0", "Zoe")
    first = people.list_people("ann", limit=2)
    rest = people.list_people("ann", after=(first[-1].name, first[-1].user))
    assert [each.user for each in (*first, *rest)] == ["id-1", "id-2", "id-3", "id-0"]


def test_people_are_found_by_a_part_of_the_name_or_the_beginning_of_the_address(people: People) -> None:
    sign_in(people, "id-1", "Ève  ADAMS", "eve@example.org")
    sign_in(people, "id-2", "100% Bob_", "bob@example.org", is_verified=False)
    found = {
        query: [each.user for each in people.list_people("ann", query=query)] for query in ("adam", "EVE@", "%", "b_b")
    }
    assert found == {"adam": ["id-1"], "EVE@": ["id-1"], "%": ["id-2"], "b_b": []}


def test_an_address_is_taken_from_everybody_else_when_somebody_verifies_it(people: People) -> None:
    sign_in(people, "id-1", "Eve", "office@example.org")
    sign_in(people, "id-2", "Bob", "OFFICE@example.org", is_verified=False)
    before = {each.user: (each.mail, each.is_mail_verified) for each in people.list_people("ann")}
    assert before == {"id-1": ("office@example.org", True), "id-2": ("OFFICE@example.org", False)}
    sign_in(people, "id-3", "Cy", "Office@example.org")
    after = {each.user: (each.mail, each.is_mail_verified) for each in people.list_people("ann")}
    assert after == {"id-1": (None, False), "id-2": (None, False), "id-3": ("Office@example.org", True)}


def test_an_address_in_another_alphabet_counts_as_unverified(people: People) -> None:
    sign_in(people, "id-1", "Eve", "ma\u00df@example.org")
    assert [(each.mail, each.is_mail_verified) for each in people.list_people("ann")] == [
        ("ma\u00df@example.org", False)
    ]


def test_a_tenant_sees_none_of_anothers_people_and_loses_its_own_when_it_is_removed(
    people: People, engine: Engine
) -> None:
    sign_in(people, "id-1", "Eve", "eve@example.org")
    sign_in(people, "id-1", "Eve of Bob", "eve@example.org", tenant="bob")
    assert people.find_names("bob", ["user:id-1", "user:id-2", "group:staff"]) == {"user:id-1": "Eve of Bob"}
    assert [each.mail for each in people.list_people("ann", query="eve")] == ["eve@example.org"]
    assert remove_tenant_rows(engine, "ann")["people"] == 1
    assert people.list_people("ann") == []
    assert [each.name for each in people.list_people("bob")] == ["Eve of Bob"]


def test_a_reader_is_found_by_name_address_or_id_and_entries_with_a_kind_stay_as_they_are(people: People) -> None:
    sign_in(people, "id-1", "Eve Adams", "Eve@example.org")
    for entry in ("eve  adams", "EVE@example.org ", "id-1"):
        assert people.find_subjects("ann", [entry]) == ["user:id-1"]
    exact = ["user:Eve Adams", "user:eve@example.org", "group:Eve Adams", "key:id-1"]
    assert people.find_subjects("ann", exact) == exact
    assert people.find_subjects("ann", ["user:Eve Adams", "Eve Adams"]) == ["user:Eve Adams", "user:id-1"]


def test_a_name_of_two_people_is_refused_with_what_tells_them_apart(people: People, engine: Engine) -> None:
    sign_in(people, "id-1", "Eve", "eve@example.org")
    sign_in(people, "id-2", "\uff25VE")
    with pytest.raises(PersonAmbiguousError) as refused:
        people.find_subjects("ann", ["Eve"])
    assert "user:id-1 (eve@example.org), user:id-2" in str(refused.value.hint)
    Users(engine).create("ann", "Bob")
    sign_in(people, "id-3", "Bob")
    with pytest.raises(PersonAmbiguousError):
        people.find_subjects("ann", ["Bob"])


def test_nobody_gets_access_by_the_name_or_unverified_address_of_somebody_else(people: People) -> None:
    sign_in(people, "id-1", "boss@example.org")
    sign_in(people, "id-2", "Mallory", "boss@example.org", is_verified=False)
    for entry in ("boss@example.org", "Boss", "ma\u00df@example.org"):
        with pytest.raises(PersonUnknownError):
            people.find_subjects("ann", [entry])
    with pytest.raises(PersonUnknownError):
        people.find_subjects("bob", ["Mallory"])


def test_a_user_with_keys_is_found_by_name_and_is_the_person_with_this_address(people: People, engine: Engine) -> None:
    Users(engine).create("ann", "Eve@example.org")
    assert people.find_subjects("ann", ["eve@example.org"]) == ["user:Eve@example.org"]
    sign_in(people, "id-1", "Eve Adams", "eve@example.org")
    assert people.find_subjects("ann", ["eve@example.org"]) == ["user:id-1"]
    Users(engine).delete("ann", "Eve@example.org")
    assert people.find_subjects("ann", ["eve@example.org"]) == ["user:id-1"]


def test_a_grant_stores_the_id_and_is_revoked_by_the_address(people: People, engine: Engine) -> None:
    sign_in(people, "id-1", "Eve Adams", "eve@example.org")
    grants = Grants(engine)
    assert grants.grant_role("ann", "c", "Eve Adams", Role.READER).subject == "user:id-1"
    assert [each.subject for each in grants.list_grants("ann", "c")] == ["user:id-1"]
    grants.revoke_grant("ann", "c", "eve@example.org", open_to_all=True)
    assert grants.list_grants("ann", "c") == []
    with pytest.raises(PersonUnknownError):
        grants.grant_role("ann", "c", "nobody", Role.READER)
