"""Every process of a cluster is restarted while it works; `python -m tests.faults.rolling_restart` does it at size."""

from collections import Counter
from pathlib import Path

import pytest

from tests.faults.rolling_restart import rolling_restart


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_a_restart_of_every_process_under_load_loses_nothing_and_fails_no_request(tmp_path: Path) -> None:
    found = rolling_restart(tmp_path, documents=40, questions=24)
    assert found.violations == []
    assert (found.ready, found.answered, found.background) == (40, 24, 6)
    assert found.restarts == Counter(api=2, worker=3, beat=1)
    assert set(found.statuses) <= {200, 202}
