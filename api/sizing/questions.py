"""Estimates a model server's speed on a GPU, and the number of servers for a load of questions."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from api.sizing.constants import Constants
from api.sizing.memory import MemoryPlan
from api.sizing.simulation import Simulation, SimulationReport, Station, compute_wait_probability

# Number of questions per simulation. With this number, the 95th percentile varies by only a few percent between seeds.
_QUESTIONS = 4_000
# Minimum duration of a simulation, as a multiple of the mean time of an answer on idle servers. The warm-up is a tenth
# of the duration, which must be longer than an answer.
_ANSWER_TIMES = 20
_MAX_REPLICAS = 4096
# Smallest relative difference between two times that a simulation can tell apart. With 40 seeds, the 95th percentile of
# an unloaded service was within 5 % of its mean.
_LEAST_GAIN = 0.05
# Maximum fraction of calls that share a server with another call, for servers to count as unshared.
_SHARED_CALLS = 0.01
# Maximum fraction of the total capacity for a plan. Above this fraction, queues grow without bound, so such plans are
# not simulated.
_STEADY_SHARE = 0.95


@dataclass(frozen=True)
class Question:
    """The work of one answer: its number of model `calls`, and the tokens that each call reads and writes."""

    calls: int
    prompt_tokens: float
    completion_tokens: float
    cached_share: float


def build_direct_question(constants: Constants) -> Question:
    """Build the work of a direct answer, which takes one model call to write it and one to judge it."""
    return Question(
        calls=int(constants["calls_of_an_answer"]),
        prompt_tokens=constants["prompt_tokens_of_a_call"],
        completion_tokens=constants["completion_tokens_of_a_call"],
        cached_share=constants["cached_share_of_a_prompt"],
    )


@dataclass(frozen=True)
class ModelServer:
    """The speed of a model server, estimated with the roofline model.

    Compute limits reading, and memory bandwidth limits writing. The sequences in a batch share the compute. Each
    decoding step reads the weights once for the whole batch, but only those of experts chosen for one of its tokens.
    """

    plan: MemoryPlan
    constants: Constants

    @property
    def prompt_tokens_per_second(self) -> float:
        """The number of prompt tokens read per second."""
        flops = self.plan.gpu.teraflops * 1e12 * self.plan.gpus * self.constants["reading_efficiency"]
        return flops / (2 * self.plan.checkpoint.active)

    def compute_step_seconds(self, sequence_count: float, sequence_tokens: float) -> float:
        """Return the duration of a decoding step for a batch of sequences with this many tokens each."""
        made = self.plan.checkpoint
        touched: float = 1 - (1 - made.active / made.parameter_count) ** max(1.0, sequence_count)
        moved = made.weight_bytes * touched + sequence_count * made.cache.compute_sequence_size(int(sequence_tokens))
        bandwidth = self.plan.gpu.gigabytes_a_second * 1e9 * self.plan.gpus * self.constants["writing_efficiency"]
        return moved / bandwidth

    def compute_call_seconds(self, question: Question, call_count: float) -> float:
        """Return the duration of a call while `call_count` calls are in progress, including this one."""
        reading = question.prompt_tokens * (1 - question.cached_share) / self.prompt_tokens_per_second
        steps = question.completion_tokens / self.constants["tokens_a_step"]
        length = question.prompt_tokens + question.completion_tokens
        return max(1.0, call_count) * reading + steps * self.compute_step_seconds(call_count, length)

    def compute_concurrency(self, question: Question) -> int:
        """Return the number of the question's calls that one server can run concurrently."""
        return self.plan.compute_concurrency(ceil(question.prompt_tokens + question.completion_tokens))


@dataclass(frozen=True)
class ServicePlan:
    """The numbers of model servers and processors that met the target in the simulation `report`.

    95 % of the simulated answers took at most `p95_seconds`. If that is more than the requested time, no number of
    servers meets the request. `most_replicas` servers, at which almost no calls share a server, take
    `fastest_p95_seconds`, and more servers do not shorten an answer.
    """

    replicas: int
    api_cores: int
    engine_cores: int
    report: SimulationReport
    gpu_seconds: float
    p95_seconds: float
    most_replicas: int
    fastest_p95_seconds: float


@dataclass(frozen=True)
class ServiceLimit:
    """The reason why no number of servers answers the questions, even if answers may take any time.

    `replicas` servers can answer only `questions_per_hour`. Both are 0 if the model and one of its calls do not fit in
    the memory of a server.
    """

    replicas: int
    questions_per_hour: float


def build_stations(
    server: ModelServer, question: Question, constants: Constants, *, replicas: int, rate: float
) -> list[Station]:
    """Build the stations that a question passes through: the API, the vector engine and the model servers."""
    api, engine = constants["api_seconds_of_a_question"], constants["engine_seconds_of_a_search"]
    each = server.compute_concurrency(question)
    alone = server.compute_call_seconds(question, 1)

    def compute_slowdown(call_count: int) -> float:
        # A call in progress is a whole sequence for its server, even if other servers are idle.
        return server.compute_call_seconds(question, max(1.0, call_count / replicas)) / alone

    return [
        Station("API", compute_core_count(rate, api), api),
        Station("vector engine", compute_core_count(rate, engine), engine),
        Station(
            "model server",
            replicas * each,
            alone,
            visits=question.calls,
            slowdown=compute_slowdown,
            failing_seconds=constants["server_failing_days"] * 86_400,
            repair_seconds=constants["server_repair_seconds"],
        ),
    ]


def compute_core_count(rate: float, work_seconds: float, *, utilization: float = 0.6) -> int:
    """Return the number of processors for `rate` work items per second that take `work_seconds` each.

    Each processor is assumed to be busy for the fraction `utilization` of the time.
    """
    return max(1, ceil(rate * work_seconds / utilization))


def count_unshared_servers(server: ModelServer, question: Question, *, rate: float) -> int:
    """Return the number of servers at which almost every call has a server to itself, at most `_MAX_REPLICAS`.

    More servers do not shorten an answer. `rate` is the number of questions per second.
    """
    load = rate * question.calls * server.compute_call_seconds(question, 1)

    def is_unshared(replicas: int) -> bool:
        return replicas > load and compute_wait_probability(replicas, load) <= _SHARED_CALLS

    return min(_MAX_REPLICAS, 1 + bisect_left(range(1, _MAX_REPLICAS + 1), True, key=is_unshared))


def plan_question_service(
    server: ModelServer, question: Question, constants: Constants, *, questions_per_hour: float, p95_seconds: float
) -> ServicePlan | ServiceLimit:
    """Find the smallest number of model servers for which 95 % of answers take at most `p95_seconds`.

    If no number of servers meets this target by a margin that a simulation can tell, find the smallest number for the
    shortest time that it can tell.
    """
    if server.compute_concurrency(question) < 1:
        return ServiceLimit(0, 0.0)
    rate = questions_per_hour / 3600
    alone_seconds = question.calls * server.compute_call_seconds(question, 1)
    duration_seconds = max(_QUESTIONS / rate, _ANSWER_TIMES * alone_seconds)

    def build(replicas: int) -> list[Station]:
        return build_stations(server, question, constants, replicas=replicas, rate=rate)

    def simulate(replicas: int) -> SimulationReport | None:
        made = build(replicas)
        if rate > min(station.max_rate for station in made) * _STEADY_SHARE:
            return None
        report = Simulation(made, questions_per_second=rate, duration_seconds=duration_seconds).run()
        return report if report.seconds else None

    most = count_unshared_servers(server, question, rate=rate)
    fastest = simulate(most)
    if fastest is None:
        capacity = min(station.max_rate for station in build(most)) * _STEADY_SHARE * 3600
        return ServiceLimit(most, capacity)
    # Rounded up to tenths, so that planning for the time that a user reads gives the same plan.
    shortest = ceil(fastest.seconds[0.95] * (1 + _LEAST_GAIN) * 10) / 10
    # guard: unreachable-answer-time
    target = max(p95_seconds, shortest)
    replicas, report = _find_fewest_servers(simulate, target, (most, fastest))
    cores = (constants["api_seconds_of_a_question"], constants["engine_seconds_of_a_search"])
    return ServicePlan(
        replicas,
        compute_core_count(rate, cores[0]),
        compute_core_count(rate, cores[1]),
        report,
        gpu_seconds=3600 * replicas * server.plan.gpus / questions_per_hour,
        p95_seconds=target,
        most_replicas=most,
        fastest_p95_seconds=fastest.seconds[0.95],
    )


def _find_fewest_servers(
    simulate: Callable[[int], SimulationReport | None], p95_seconds: float, enough: tuple[int, SimulationReport]
) -> tuple[int, SimulationReport]:
    """Find the smallest number of servers that meets the target, given a number that does.

    Doubles the number of servers until there are enough, and then bisects.
    """

    def try_replicas(replicas: int) -> tuple[int, SimulationReport] | None:
        report = simulate(replicas)
        # guard: late-answers-no-plan
        return (replicas, report) if report is not None and report.seconds[0.95] <= p95_seconds else None

    few, best, replicas = 0, enough, 1
    while replicas < enough[0]:
        if tried := try_replicas(replicas):
            best = tried
            break
        few, replicas = replicas, 2 * replicas
    while best[0] - few > 1:
        middle = (few + best[0]) // 2
        if tried := try_replicas(middle):
            best = tried
        else:
            few = middle
    return best
