"""When an index is asked for its tenants, and what is made of the answer."""

from retrieval.index.sole_tenant import MULTI_TENANT_RECHECK_SECONDS, RECHECK_SECONDS, SoleTenantTracker


class _Index:
    def __init__(self, *tenants: str) -> None:
        self.tenants = set(tenants)
        self.looks: list[bool] = []
        self.now = 100.0
        self.sole = SoleTenantTracker(self._look, clock=lambda: self.now)

    def _look(self, careful: bool) -> set[str]:
        self.looks.append(careful)
        return set(self.tenants)


def test_a_tenant_is_alone_while_nobody_else_has_chunks() -> None:
    index = _Index("ann")
    assert index.sole.is_sole_tenant("ann")
    assert not index.sole.is_sole_tenant("bob")
    assert _Index().sole.is_sole_tenant("ann")
    assert not _Index("ann", "bob").sole.is_sole_tenant("ann")


def test_a_second_tenant_is_noticed_at_once_when_this_process_writes_and_soon_when_another_does() -> None:
    index = _Index("ann")
    assert index.sole.is_sole_tenant("ann")
    index.sole.record_tenants(["bob"])
    assert not index.sole.is_sole_tenant("ann")

    other = _Index("ann")
    assert other.sole.is_sole_tenant("ann")
    other.tenants.add("bob")
    other.now += RECHECK_SECONDS / 2
    assert other.sole.is_sole_tenant("ann")
    other.now += RECHECK_SECONDS
    assert not other.sole.is_sole_tenant("ann")
    assert other.looks == [False, True, False]


def test_a_tenant_that_is_left_alone_is_noticed_later_and_with_care() -> None:
    index = _Index("ann", "bob")
    assert not index.sole.is_sole_tenant("ann")
    index.tenants.remove("bob")
    index.now += MULTI_TENANT_RECHECK_SECONDS / 2
    assert not index.sole.is_sole_tenant("ann")
    index.now += MULTI_TENANT_RECHECK_SECONDS
    assert index.sole.is_sole_tenant("ann")
    assert index.looks == [False, False, True]


def test_what_is_written_during_a_look_is_not_forgotten() -> None:
    index = _Index("ann")
    look = index._look

    def slow(careful: bool) -> set[str]:
        seen = look(careful)
        index.sole.record_tenants(["bob"])
        return seen

    index.sole = SoleTenantTracker(slow, clock=lambda: index.now)
    assert not index.sole.is_sole_tenant("ann")
