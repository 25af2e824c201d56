import pytest

from rlm.events import Retrieved, complete
from rlm.strategy import StageClock


def test_the_answer_is_in_the_last_event_and_a_stream_without_it_is_a_defect() -> None:
    with pytest.raises(RuntimeError, match="Completed"):
        complete(iter([Retrieved(())]))


def test_nobody_cancels_by_default() -> None:
    assert never() is False


def test_stages_add_up_to_the_total() -> None:
    clock = StageClock()
    for stage in ("read", "verify", "read"):
        clock.lap(stage)
    laps = clock.laps()
    assert list(laps) == ["read", "verify", "total"]
    assert laps["total"] == pytest.approx(laps["read"] + laps["verify"], abs=0.2)
