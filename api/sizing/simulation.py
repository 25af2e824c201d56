"""Simulates a service event by event: questions arrive and pass through a sequence of stations.

A station is a queue with several servers, such as the API's processes, the vector engine, or the batch slots of model
servers, which become slower as more of them are busy. Servers fail and are repaired. The work of a failed server is
restarted. The station closest to its capacity is the next bottleneck.
"""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

_QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Station:
    """A first-come, first-served queue with `places` parallel servers.

    `seconds` is the mean service time of a work item on an idle station. While `busy` servers are in use, the mean
    service time is `seconds * slowdown(busy)`. If `queue` items are already waiting, further items are rejected. A
    server fails after `failing_seconds` on average (0 means never), and is repaired after `repair_seconds`.
    """

    name: str
    places: int
    seconds: float
    visits: int = 1
    slowdown: Callable[[int], float] = field(default=lambda busy: 1.0)
    queue: int | None = None
    failing_seconds: float = 0.0
    repair_seconds: float = 0.0
    fixed: bool = False

    @property
    def max_rate(self) -> float:
        """The station's capacity in questions per second, when all servers are busy."""
        return self.places / (self.visits * self.seconds * self.slowdown(self.places))


@dataclass(frozen=True)
class StationReport:
    """The load of one station.

    `load` is the arrival rate as a fraction of the station's capacity. `busy` is the mean fraction of working servers
    that are in use. `waiting` is the mean number of waiting work items, and `wait_seconds` is the mean wait per visit.
    """

    name: str
    load: float
    busy: float
    waiting: float
    wait_seconds: float
    refused: int


@dataclass(frozen=True)
class SimulationReport:
    """The result of a simulation: the seconds per answer, keyed by quantile, and the report of each station."""

    arrived: int
    answered: int
    refused: int
    seconds: dict[float, float]
    stations: tuple[StationReport, ...]

    @property
    def bottleneck(self) -> str:
        """The station with the highest load, which more questions would overload first."""
        return max(self.stations, key=lambda station: station.load).name


class _StationQueue:
    """The state of one station, including time-weighted sums."""

    def __init__(self, station: Station) -> None:
        self.station = station
        self.waiting: deque[tuple[float, _Question]] = deque()
        self.busy = 0
        self.up = station.places
        self.busy_area = self.waiting_area = self.up_area = 0.0
        self.waits = 0.0
        self.visits = self.refused = 0
        self.changed = 0.0
        # Questions being served, keyed by number, so that a failure can interrupt their work.
        self.under_way: dict[int, _Question] = {}

    def advance_to(self, now: float) -> None:
        elapsed = now - self.changed
        self.busy_area += self.busy * elapsed
        self.waiting_area += len(self.waiting) * elapsed
        self.up_area += self.up * elapsed
        self.changed = now

    def build_report(self, arrival_rate: float) -> StationReport:
        total = self.changed or 1.0
        return StationReport(
            self.station.name,
            load=arrival_rate / self.station.max_rate,
            busy=self.busy_area / self.up_area if self.up_area else 1.0,
            waiting=self.waiting_area / total,
            wait_seconds=self.waits / self.visits if self.visits else 0.0,
            refused=self.refused,
        )


@dataclass
class _Question:
    begun: float
    stop: int = 0


class Simulation:
    """A simulation of questions that pass through all stations in order.

    Interarrival times are exponentially distributed, and so are service times unless a station is `fixed`. The first
    tenth of the time is a warm-up that is not counted.
    """

    def __init__(
        self, stations: Sequence[Station], *, questions_per_second: float, duration_seconds: float, seed: int = 0
    ) -> None:
        self._queues = [_StationQueue(station) for station in stations]
        self._route = [index for index, station in enumerate(stations) for _ in range(station.visits)]
        self._rate, self._end, self._warm_up = questions_per_second, duration_seconds, duration_seconds / 10
        self._random = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._now = 0.0
        self._arrived = self._refused = 0
        self._took: list[float] = []

    def run(self) -> SimulationReport:
        """Run the simulation. Questions still in progress at the end count neither as answered nor as refused."""
        self._schedule_action(self._random.expovariate(self._rate), self._add_arrival)
        for queue in self._queues:
            for _ in range(queue.station.places):
                self._schedule_failure(queue)
        self._schedule_action(self._warm_up, self._reset_counts)
        while self._events and self._events[0][0] <= self._end:
            self._now, _, happen = heapq.heappop(self._events)
            happen()
        self._now = self._end
        for queue in self._queues:
            queue.advance_to(self._end)
            # Reports divide by this time, so it must exclude the warm-up.
            queue.changed = self._end - self._warm_up
        took = sorted(self._took)
        quantiles = {each: took[min(len(took) - 1, int(each * len(took)))] for each in _QUANTILES} if took else {}
        reports = tuple(queue.build_report(self._rate) for queue in self._queues)
        return SimulationReport(self._arrived, len(took), self._refused, quantiles, reports)

    def _schedule_action(self, delay_seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self._now + delay_seconds, next(self._numbers), action))

    def _reset_counts(self) -> None:
        self._arrived = self._refused = 0
        self._took.clear()
        for queue in self._queues:
            queue.advance_to(self._now)
            queue.busy_area = queue.waiting_area = queue.up_area = queue.waits = 0.0
            queue.visits = queue.refused = 0

    def _add_arrival(self) -> None:
        self._arrived += 1
        self._visit_next_station(_Question(self._now))
        self._schedule_action(self._random.expovariate(self._rate), self._add_arrival)

    def _visit_next_station(self, question: _Question) -> None:
        if question.stop == len(self._route):
            self._took.append(self._now - question.begun)
            return
        queue = self._queues[self._route[question.stop]]
        queue.advance_to(self._now)
        if queue.busy < queue.up:
            self._start_work(queue, question, self._now)
        # guard: simulated-full-queue
        elif queue.station.queue is not None and len(queue.waiting) >= queue.station.queue:
            queue.refused += 1
            self._refused += 1
        else:
            queue.waiting.append((self._now, question))

    def _start_work(self, queue: _StationQueue, question: _Question, wait_start: float) -> None:
        queue.busy += 1
        queue.visits += 1
        queue.waits += self._now - wait_start
        number = next(self._numbers)
        queue.under_way[number] = question
        mean = queue.station.seconds * queue.station.slowdown(queue.busy)
        seconds = mean if queue.station.fixed else self._random.expovariate(1 / mean)
        self._schedule_action(seconds, lambda: self._finish_work(queue, number))

    def _finish_work(self, queue: _StationQueue, work_id: int) -> None:
        question = queue.under_way.pop(work_id, None)
        # guard: simulated-failure
        if question is None:  # The server has failed, and the work item was requeued.
            return
        queue.advance_to(self._now)
        queue.busy -= 1
        self._start_waiting_work(queue)
        question.stop += 1
        self._visit_next_station(question)

    def _start_waiting_work(self, queue: _StationQueue) -> None:
        while queue.waiting and queue.busy < queue.up:
            since, question = queue.waiting.popleft()
            self._start_work(queue, question, since)

    def _schedule_failure(self, queue: _StationQueue) -> None:
        if queue.station.failing_seconds:
            self._schedule_action(
                self._random.expovariate(1 / queue.station.failing_seconds), lambda: self._fail_server(queue)
            )

    def _fail_server(self, queue: _StationQueue) -> None:
        queue.advance_to(self._now)
        queue.up -= 1
        if queue.busy > queue.up:  # A busy server failed, so its work item is requeued first.
            number = self._random.choice(list(queue.under_way))
            queue.waiting.appendleft((self._now, queue.under_way.pop(number)))
            queue.busy -= 1
        self._schedule_action(queue.station.repair_seconds, lambda: self._repair_server(queue))

    def _repair_server(self, queue: _StationQueue) -> None:
        queue.advance_to(self._now)
        queue.up += 1
        self._start_waiting_work(queue)
        self._schedule_failure(queue)


def compute_wait_probability(server_count: int, load: float) -> float:
    """Return the probability that a question has to wait in an M/M/c queue.

    `load` is the arrival rate times the mean service time. The Erlang C formula is computed with the Erlang B
    recursion, which does not overflow. Source: A. K. Erlang, 1917.
    """
    blocked = 1.0
    for each in range(1, server_count + 1):
        blocked = load * blocked / (each + load * blocked)
    return blocked / (1 - load / server_count * (1 - blocked))
