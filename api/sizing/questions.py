"""Estimates a model server's speed on a GPU, and the number of servers for a load of questions."""

from dataclasses import dataclass
from math import ceil

from api.sizing.constants import Constants
from api.sizing.memory import MemoryPlan
from api.sizing.simulation import Simulation, SimulationReport, Station

# Number of questions per simulation. With this number, the 95th percentile varies by only a few percent between seeds.
_QUESTIONS = 4_000
_MAX_REPLICAS = 4096
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
    """The numbers of model servers and processors that met the target in the simulation `report`."""

    replicas: int
    api_cores: int
    engine_cores: int
    report: SimulationReport
    gpu_seconds: float


def build_stations(
    server: ModelServer, question: Question, constants: Constants, *, replicas: int, rate: float
) -> list[Station]:
    """Build the stations that a question passes through: the API, the vector engine and the model servers."""
    api, engine = constants["api_seconds_of_a_question"], constants["engine_seconds_of_a_search"]
    each = server.compute_concurrency(question)
    alone = server.compute_call_seconds(question, 1)

    def compute_slowdown(call_count: int) -> float:
        return server.compute_call_seconds(question, call_count / replicas) / alone

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


def plan_question_service(
    server: ModelServer, question: Question, constants: Constants, *, questions_per_hour: float, p95_seconds: float
) -> ServicePlan | None:
    """Find the smallest number of model servers for which 95 % of answers take at most `p95_seconds`.

    Returns None if no number of servers is enough.
    """
    rate = questions_per_hour / 3600
    if (
        server.compute_concurrency(question) < 1
        or question.calls * server.compute_call_seconds(question, 1) > p95_seconds
    ):
        return None

    def simulate(replicas: int) -> SimulationReport | None:
        made = build_stations(server, question, constants, replicas=replicas, rate=rate)
        if rate > min(station.max_rate for station in made) * _STEADY_SHARE:
            return None
        report = Simulation(made, questions_per_second=rate, duration_seconds=_QUESTIONS / rate).run()
        # guard: late-answers-no-plan
        return report if report.seconds and report.seconds[0.95] <= p95_seconds else None

    # Double the number of servers until there are enough, and then bisect.
    replicas, report = 1, simulate(1)
    while report is None:
        replicas *= 2
        if replicas > _MAX_REPLICAS:
            return None
        report = simulate(replicas)
    few, best = replicas // 2, (replicas, report)
    while best[0] - few > 1:
        middle = (few + best[0]) // 2
        tried = simulate(middle)
        few, best = (middle, best) if tried is None else (few, (middle, tried))
    replicas, report = best
    cores = (constants["api_seconds_of_a_question"], constants["engine_seconds_of_a_search"])
    gpu_seconds = 3600 * replicas * server.plan.gpus / questions_per_hour
    return ServicePlan(
        replicas, compute_core_count(rate, cores[0]), compute_core_count(rate, cores[1]), report, gpu_seconds
    )
