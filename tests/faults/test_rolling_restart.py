"""Every process of a cluster is restarted while it works; `rolling_restart` does it at size."""

from pathlib import Path

from tests.faults.rolling_restart import rolling_restart


def test_a_rolling_restart_of_every_process_loses_nothing_and_fails_no_request(tmp_path: Path) -> None:
    found = rolling_restart(tmp_path, documents=30, questions=12)
    assert found.violations == []
    assert (found.broken_connections, found.runs) == (0, 3)
    assert found.restarts["api"] >= 2
    assert found.restarts["worker"] >= 3
    assert found.restarts["beat"] >= 1
