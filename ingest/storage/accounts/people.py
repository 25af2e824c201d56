"""People who signed in with an identity provider: their ids, display names, mail addresses and groups.

Access lists and grants name a person by an id that never changes, as in `user:ID`. A display name never gives access:
people can often choose it themselves. A mail address gives access only while the provider has verified it.
"""

import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, func, select, update

from ingest.storage.accounts.records import Principal
from ingest.storage.db.database import build_upsert, iter_slices, lock_tenant, read_transaction, write_transaction
from ingest.storage.db.schema import people, users
from ingest.storage.errors import PersonAmbiguousError, PersonUnknownError

# Number of people in the hint of an error.
_MAX_LISTED = 5


@dataclass(frozen=True)
class Person:
    """A person who signed in with an identity provider. `user` is the id, as in `user:ID`.

    `groups` are those of the last sign-in, which was at `signed_in_at`.
    """

    user: str
    name: str
    mail: str | None
    is_mail_verified: bool
    groups: tuple[str, ...]
    signed_in_at: float


class People:
    """Records people at each sign-in, and finds them. Each call reads and writes the people of a single tenant."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    def record_sign_in(self, principal: Principal, *, groups_seconds: float) -> None:
        """Store the profile and groups of a person who has just signed in with an identity provider.

        Without another sign-in, the groups count in Slack for `groups_seconds`. Does nothing for the caller of a key.
        """
        profile, now = principal.profile, self._clock()
        if profile is None or principal.user is None:
            return
        mail_key = None if profile.mail is None else build_mail_key(profile.mail)
        is_verified = profile.is_mail_verified and mail_key is not None
        values: dict[str, Any] = {
            "name": profile.name,
            "name_key": build_name_key(profile.name),
            "mail": profile.mail,
            "mail_key": mail_key,
            "mail_verified": is_verified,
            "groups": sorted(principal.groups),
            "groups_until": now + groups_seconds,
            "signed_in_at": now,
        }
        with write_transaction(self._engine) as connection:
            lock_tenant(connection, principal.tenant_id)
            if is_verified:
                _take_address(connection, principal.tenant_id, principal.user, mail_key)
            row = build_upsert(connection, people).values(
                tenant_id=principal.tenant_id, user=principal.user, created_at=now, **values
            )
            connection.execute(row.on_conflict_do_update(index_elements=["tenant_id", "user"], set_=values))

    def list_people(
        self, tenant_id: str, *, query: str = "", after: tuple[str, str] = ("", ""), limit: int = 100
    ) -> list[Person]:
        """List people sorted by name, starting after the person with the name and id in `after`.

        With a `query`, list only people whose name contains it, or whose mail address begins with it.
        """
        found = _build_query(tenant_id).limit(limit)
        if query:
            key = build_name_key(query)
            by_name = people.c.name_key.contains(key, autoescape=True)
            found = found.where(by_name | people.c.mail_key.startswith(key, autoescape=True))
        name, user = after
        if user:
            key = build_name_key(name)
            found = found.where((people.c.name_key > key) | ((people.c.name_key == key) & (people.c.user > user)))
        with read_transaction(self._engine) as connection:
            return [_build_person(row) for row in connection.execute(found).all()]

    def load_people(self, tenant_id: str, ids: Collection[str]) -> list[Person]:
        """Load the people with these ids, sorted by name. Ids without a person are skipped."""
        found: list[Person] = []
        with read_transaction(self._engine) as connection:
            for some in iter_slices(sorted(set(ids))):
                rows = connection.execute(_build_query(tenant_id).where(people.c.user.in_(some))).all()
                found += map(_build_person, rows)
        return sorted(found, key=lambda each: (build_name_key(each.name), each.user))

    def find_names(self, tenant_id: str, subjects: Collection[str]) -> dict[str, str]:
        """Return the display names of the people among subjects such as `user:ID`, keyed by subject."""
        ids = {each.removeprefix("user:") for each in subjects if each.startswith("user:")}
        return {f"user:{each.user}": each.name for each in self.load_people(tenant_id, ids)} if ids else {}

    def find_principal(self, tenant_id: str, entry: str) -> Principal | None:
        """Return a principal with the rights of a person, given by id, name or verified mail address.

        Returns None if no person is known by it. Raises `PersonAmbiguousError`.
        """
        with read_transaction(self._engine) as connection:
            try:
                subject = find_subject(connection, tenant_id, entry)
            except PersonUnknownError:
                return None
            row = connection.execute(
                _build_query(tenant_id).where(people.c.user == subject.removeprefix("user:"))
            ).first()
            if row is None:
                return None
            found = Principal(tenant_id, None, row.name, user=row.user, groups=frozenset(row.groups))
            return add_other_users(connection, found)

    def find_subjects(self, tenant_id: str, entries: Collection[str]) -> list[str]:
        """Return the subjects for entries of an access list. See `find_subject`."""
        if all(":" in each for each in entries):
            return list(entries)
        with read_transaction(self._engine) as connection:
            return [find_subject(connection, tenant_id, each) for each in entries]

    def count_group_members(self, tenant_id: str) -> dict[str, int]:
        """Count the members of each group of people's last sign-ins. Groups are sorted by name."""
        with read_transaction(self._engine) as connection:
            rows = connection.execute(select(people.c.groups).where(people.c.tenant_id == tenant_id)).scalars().all()
        return dict(sorted(Counter(group for groups in rows for group in groups).items()))


def find_subject(connection: Connection, tenant_id: str, entry: str) -> str:
    """Return the subject for an entry of an access list or grant: `user:ID` for a person's name or mail address.

    An entry with a kind, such as `user:ID`, is exact: it is returned as it is. Raises `PersonUnknownError` if no person
    has the name or the verified address, and `PersonAmbiguousError` if several people have the name.
    """
    if ":" in entry or not entry.strip():
        return entry
    entry = entry.strip()
    candidates = _find_candidates(connection, tenant_id, entry)
    if not candidates:
        raise PersonUnknownError(
            f"Nobody has the verified mail address {entry[:100]!r}."
            if "@" in entry
            else f"No person has the name {entry[:100]!r}.",
        )
    if len(candidates) > 1:
        listed = sorted(f"{subject} ({mail})" if mail else subject for subject, mail in candidates.items())
        raise PersonAmbiguousError(
            f"{len(candidates)} people have the name {entry[:100]!r}.",
            hint=f"Name the person by mail address or id: {', '.join(listed[:_MAX_LISTED])}.",
        )
    return next(iter(candidates))


def _find_candidates(connection: Connection, tenant_id: str, entry: str) -> dict[str, str | None]:
    """Find those whom an entry can mean: people who signed in, and users with keys. Return addresses by subject."""
    if "@" in entry:
        # An address never means a display name: people could call themselves by the address of somebody else.
        mail_key = build_mail_key(entry) or ""
        # guard: verified-address-in-readers
        of_person: ColumnElement[bool] = people.c.mail_verified & (people.c.mail_key == mail_key)
        of_user = func.lower(users.c.name) == mail_key
    else:
        of_person = people.c.name_key == build_name_key(entry)
        of_user = users.c.name == entry
    named = select(people.c.user, people.c.mail).where(
        people.c.tenant_id == tenant_id, of_person | (people.c.user == entry)
    )
    found: dict[str, str | None] = {f"user:{user}": mail for user, mail in connection.execute(named).all()}
    if found and "@" in entry:
        return found  # A user with this address as the name is the same person.
    live = users.c.tenant_id == tenant_id, users.c.deleted_at.is_(None)
    names = connection.execute(select(users.c.name).where(*live, of_user)).scalars()
    return {f"user:{name}": None for name in names} | found


def add_other_users(connection: Connection, principal: Principal) -> Principal:
    """Return a copy of the principal of a token or session with the rights of its verified mail address.

    The principal is returned as it is if it has a key, or its person has no verified address.
    """
    if principal.key_id is not None or principal.user is None:
        return principal
    of_person = people.c.tenant_id == principal.tenant_id, people.c.user == principal.user
    # guard: verified-address-of-person
    verified = select(people.c.mail_key).where(*of_person, people.c.mail_verified)
    mail_key = connection.execute(verified).scalar()
    return principal if mail_key is None else _add_address(connection, principal, mail_key)


def identify_by_address(
    connection: Connection, principal: Principal, mail: str, now: float, *, is_confirmed: bool = True
) -> Principal:
    """Return a copy of a principal as the person who has a mail address, or as the user with keys of that name.

    An address that is not confirmed only identifies a user with keys. The groups of the person's last sign-in count for
    a limited time. The principal is returned as it is if nobody has the address.
    """
    mail_key = build_mail_key(mail)
    # guard: verified-address-in-slack
    verified = people.c.mail_verified & (people.c.mail_key == (mail_key or ""))
    query = select(people).where(people.c.tenant_id == principal.tenant_id, verified)
    # guard: confirmed-address-in-slack
    row = connection.execute(query).first() if is_confirmed else None
    if row is not None and mail_key is not None:
        # guard: groups-after-sign-in-expire
        groups = frozenset(row.groups if row.groups_until > now else ())
        return _add_address(connection, replace(principal, user=row.user, groups=principal.groups | groups), mail_key)
    user = connection.execute(_build_user_query(principal.tenant_id, mail_key or mail)).first()
    if user is None:
        return principal
    return replace(principal, user=user.name, groups=principal.groups | frozenset(user.groups))


def _add_address(connection: Connection, principal: Principal, mail_key: str) -> Principal:
    """Add the rights of a verified address, and those of the users with keys whose name is the address."""
    same = connection.execute(_build_user_query(principal.tenant_id, mail_key)).all()
    names = {mail_key, *(user.name for user in same)} - {principal.user}
    groups = principal.groups.union(*(user.groups for user in same))
    return replace(principal, other_users=frozenset(names), groups=groups)


def _build_user_query(tenant_id: str, mail_key: str) -> Select[Any]:
    live = users.c.tenant_id == tenant_id, users.c.deleted_at.is_(None)
    return select(users.c.name, users.c.groups).where(*live, func.lower(users.c.name) == mail_key)


def build_name_key(name: str) -> str:
    """Return the form in which names are compared: without differences of case, width and spaces."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())[:400]


def build_mail_key(mail: str) -> str | None:
    """Return the form in which mail addresses are compared, or None if an address cannot be compared safely.

    Folding the case of other alphabets makes different addresses equal, such as those with `ß` and `ss`.
    """
    # guard: ascii-mail-addresses
    return mail.lower() if mail.isascii() else None


def end_groups_of_provider(connection: Connection, tenant_id: str, owner: str) -> None:
    """End the groups that a person got at the last sign-in. In Slack, they count again after the next sign-in."""
    of_person = people.c.tenant_id == tenant_id, people.c.user == owner.removeprefix("user:")
    connection.execute(update(people).where(*of_person).values(groups_until=0.0))


def _take_address(connection: Connection, tenant_id: str, user: str, mail_key: str | None) -> None:
    """Take an address away from everybody who had it before: a provider gives it to another person after a while."""
    others = people.c.tenant_id == tenant_id, people.c.mail_key == mail_key, people.c.user != user
    # guard: mail-address-one-person
    connection.execute(update(people).where(*others).values(mail=None, mail_key=None, mail_verified=False))


def _build_query(tenant_id: str) -> Select[Any]:
    return select(people).where(people.c.tenant_id == tenant_id).order_by(people.c.name_key, people.c.user)


def _build_person(row: Row[Any]) -> Person:
    return Person(row.user, row.name, row.mail, row.mail_verified, tuple(row.groups), row.signed_in_at)
