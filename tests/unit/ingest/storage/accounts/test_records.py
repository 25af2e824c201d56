from ingest.storage.accounts.records import Principal, Scope


def test_an_admin_that_is_no_user_sees_every_document_and_nobody_else_does() -> None:
    everything = frozenset(Scope)
    assert Principal("t", "k", "admin", scopes=everything).readers is None
    assert Principal("t", "k", "reader", scopes=everything - {Scope.ADMIN}).readers == frozenset()
    assert Principal("t", "k", "ann", user="ann", scopes=everything).readers == frozenset({"user:ann", "scope:admin"})


def test_the_subjects_of_a_principal_are_its_user_and_its_groups() -> None:
    ann = Principal("t", "k", "a key", user="ann", groups=frozenset({"hr", "board"}))
    assert ann.readers == ann.subjects == frozenset({"user:ann", "group:hr", "group:board"})
