from types import SimpleNamespace
from typing import Any, cast

import pytest

from api.admission.services import Services
from api.main import compute_max_concurrent_searches, get_search_wait
from api.settings.settings import Settings


@pytest.mark.parametrize(
    ("chosen", "computes", "seconds"),
    [({}, True, 0.8), ({}, False, 10.0), ({"turn_seconds": 0.5}, True, 0.5), ({"search_turn_seconds": 3}, False, 3.0)],
)
def test_only_searches_that_wait_for_no_server_are_rejected_early(
    chosen: dict[str, Any], computes: bool, seconds: float
) -> None:
    services = SimpleNamespace(settings=Settings.model_validate(chosen), computes_searches=computes)
    assert get_search_wait(cast(Services, services)) == seconds


def test_as_many_searches_as_other_requests_may_wait_for_servers() -> None:
    services = SimpleNamespace(settings=Settings(work_at_once=31), computes_searches=False)
    assert compute_max_concurrent_searches(cast(Services, services)) == 31
    services.settings = Settings(work_at_once=31, searches_at_once=7)
    assert compute_max_concurrent_searches(cast(Services, services)) == 7
