"""A deaf worker is told from a busy one, an idle one, and one whose broker is away."""

from workers.watchdog import Watchdog


class Worker:
    def __init__(self) -> None:
        self.messages, self.taken, self.busy, self.away = 0, 0, False, False
        self.watchdog = Watchdog(
            count_waiting=self._waiting,
            count_taken=lambda: self.taken,
            is_busy=lambda: self.busy,
            give_up=lambda: None,
            max_idle_seconds=10,
        )

    def deaf(self, *instants: float) -> list[bool]:
        return [self.watchdog.is_stuck(now) for now in instants]

    def _waiting(self) -> int:
        if self.away:
            raise ConnectionError
        return self.messages


def test_one_that_takes_nothing_though_messages_wait_is_deaf() -> None:
    worker = Worker()
    worker.messages = 3
    assert worker.deaf(0, 1, 5, 10.9, 11, 12) == [False, False, False, False, True, True]


def test_one_that_takes_messages_is_not() -> None:
    worker = Worker()
    worker.messages = 3
    for now in range(0, 100, 5):
        worker.taken += 1
        assert worker.deaf(now) == [False]


def test_one_without_messages_or_with_work_or_without_a_broker_is_not() -> None:
    idle, busy, cut_off = Worker(), Worker(), Worker()
    busy.messages, busy.busy = 3, True
    cut_off.away = True
    for worker in (idle, busy, cut_off):
        assert not any(worker.deaf(0, 10, 100, 1000))


def test_silence_is_counted_anew_after_work() -> None:
    worker = Worker()
    worker.messages = 3
    worker.deaf(0, 5)
    worker.busy = True
    worker.deaf(8)
    worker.busy = False
    assert worker.deaf(9, 10, 18, 19, 20) == [False, False, False, True, True]
