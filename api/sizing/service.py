"""Plans the machines, GPUs, time and cost for a workload of documents and questions."""

from dataclasses import dataclass
from math import ceil

from api.sizing.constants import Constants
from api.sizing.documents import (
    CorpusSize,
    EmbeddedResources,
    IndexPlan,
    Machine,
    estimate_corpus,
    estimate_embedded_resources,
    fits_in_one_process,
    plan_index,
)
from api.sizing.memory import MemoryPlan
from api.sizing.questions import ModelServer, ServiceLimit, ServicePlan, build_direct_question, plan_question_service
from ingest.storage.counts import format_count

PlanRow = tuple[str, int | str, str]
# Maximum number of questions per hour for one process. More questions require a cluster.
_ONE_PROCESS_QUESTIONS = 3_600
_GPUS, _NONE_SUFFICE = "gpus", "none suffice"


@dataclass(frozen=True)
class Workload:
    """The documents and questions to plan for, the time targets, and the size of the machines."""

    documents: int
    tokens_each: float
    questions_an_hour: float = 0.0
    index_hours: float = 24.0
    answer_seconds: float = 30.0
    cores: int = 16
    memory_gb: float = 64.0
    dimension: int = 384


@dataclass(frozen=True)
class DeploymentPlan:
    """The resources that a workload requires.

    `index` is None if a single process is enough. `service` is None without questions or a model, and a limit if no
    number of GPUs answers the questions.
    """

    wanted: Workload
    corpus: CorpusSize
    needs: EmbeddedResources
    index: IndexPlan | None
    server: MemoryPlan | None
    service: ServicePlan | ServiceLimit | None

    @property
    def ingest_cores(self) -> int:
        """The number of processors required to index all documents within `index_hours`."""
        return max(1, ceil(self.needs.processor_seconds / (self.wanted.index_hours * 3600)))

    def build_rows(self, gpu_price: float | None) -> list[PlanRow]:
        """Build a row with the name, value and explanation of each figure in the plan."""
        rows = [
            *self._build_document_rows(),
            *(self._build_process_rows() if self.index is None else self._build_cluster_rows(self.index)),
        ]
        if self.wanted.questions_an_hour:
            rows += self._build_question_rows(gpu_price)
        return rows

    def _build_document_rows(self) -> list[PlanRow]:
        return [
            ("documents", self.corpus.documents, f"{self.wanted.tokens_each:,.0f} tokens each"),
            ("tokens", self.corpus.tokens, ""),
            ("chunks", self.corpus.chunks, ""),
        ]

    def _build_process_rows(self) -> list[PlanRow]:
        hours = self.needs.compute_index_seconds(self.wanted.cores) / 3600
        return [
            ("processes", 1, "`leadline up`: up to a million chunks, exact search"),
            ("memory_gb", f"{self.needs.memory_bytes / 1e9:.1f}", "of the process, without a language model"),
            ("disk_gb", f"{self.needs.disk_bytes / 1e9:.1f}", "originals of plain text, texts, catalog, index"),
            ("hours_to_index", f"{hours:.2f}", f"{self.wanted.cores} idle processors"),
        ]

    def _build_cluster_rows(self, index: IndexPlan) -> list[PlanRow]:
        hours = self.needs.processor_seconds / 3600 / (self.ingest_cores or 1)
        machines = ceil(self.ingest_cores / self.wanted.cores)
        shared = self.needs.disk_bytes - index.disk_bytes / index.replicas
        return [
            ("ingest_machines", machines, f"{self.ingest_cores:,} processors, only while documents are ingested"),
            ("hours_to_index", f"{hours:.1f}", "with these machines"),
            ("index_nodes", index.nodes, index.reason),
            ("index_shards", index.shards, "LEADLINE_QDRANT_SHARDS"),
            ("index_replicas", index.replicas, "LEADLINE_QDRANT_REPLICAS"),
            ("index_quantization", index.quantization, "LEADLINE_QDRANT_QUANTIZATION"),
            ("index_memory_gb", f"{index.memory_bytes / 1e9:.1f}", "vectors of all nodes"),
            ("index_disk_gb", f"{index.disk_bytes / 1e9:.1f}", "of all nodes"),
            ("shared_disk_gb", f"{max(0.0, shared) / 1e9:.1f}", "originals of plain text, texts, catalog"),
        ]

    def _build_question_rows(self, gpu_price: float | None) -> list[PlanRow]:
        service = self.service
        if service is None or self.server is None:
            return []
        if isinstance(service, ServiceLimit):
            return _build_limit_rows(service, self.server)
        if service.p95_seconds > self.wanted.answer_seconds:
            return _build_unreachable_rows(service, self.server, self.wanted.answer_seconds)
        gpus = service.replicas * self.server.gpus
        report = service.report
        loads = ", ".join(f"{each.name} {each.load:.0%}" for each in report.stations)
        return [
            (_GPUS, gpus, f"{format_count(service.replicas, 'server')} of {self.server.gpus} x {self.server.gpu.name}"),
            ("api_processors", service.api_cores, "busy 60 % of the time"),
            ("engine_processors", service.engine_cores, "busy 60 % of the time"),
            ("answer_seconds_p50", f"{report.seconds[0.5]:.1f}", f"of {report.answered:,} simulated questions"),
            ("answer_seconds_p95", f"{report.seconds[0.95]:.1f}", ""),
            ("next_bottleneck", report.bottleneck, f"share of capacity: {loads}"),
            ("gpu_seconds_a_question", f"{service.gpu_seconds:.2f}", "in the busiest hour"),
            *(
                [("cost_of_a_question", f"{service.gpu_seconds / 3600 * gpu_price:.5f}", "GPUs alone")]
                if gpu_price
                else []
            ),
        ]


def _build_limit_rows(limit: ServiceLimit, server: MemoryPlan) -> list[PlanRow]:
    """Build the rows for questions that no number of servers answers: the limit, and the changes that can help."""
    if not limit.replicas:
        change = (
            f"the model and one of its calls do not fit on {server.gpus} x {server.gpu.name}: choose GPUs with more "
            "memory, more of them per server (--gpus), or a smaller or quantized model"
        )
        return [(_GPUS, _NONE_SUFFICE, change)]
    change = "too many --questions: choose faster GPUs, more of them per server (--gpus), or a smaller model"
    return [
        (_GPUS, _NONE_SUFFICE, change),
        (
            "reachable_questions_an_hour",
            int(limit.questions_per_hour),
            f"with {limit.replicas:,} servers, the most that a plan considers",
        ),
    ]


def _build_unreachable_rows(service: ServicePlan, server: MemoryPlan, answer_seconds: float) -> list[PlanRow]:
    """Build the rows for an answer time that no number of servers meets: the best time, and the changes that help."""
    change = (
        f"cannot complete 95 % of answers within {answer_seconds:g} s: set --answers-within to "
        f"{service.p95_seconds:g} or more, or choose faster GPUs, more of them per server (--gpus), or a smaller model"
    )
    gpus, most = (count * server.gpus for count in (service.replicas, service.most_replicas))
    fastest = f"even {format_count(most, 'GPU')} take {service.fastest_p95_seconds:.2f} s"
    return [
        (_GPUS, _NONE_SUFFICE, change),
        (
            "reachable_answer_seconds_p95",
            f"{service.p95_seconds:g}",
            f"with {format_count(gpus, 'GPU')}; {fastest}",
        ),
    ]


def plan_deployment(workload: Workload, server: MemoryPlan | None, constants: Constants) -> DeploymentPlan:
    """Plan a single process if it is enough, otherwise a cluster with the fewest sufficient machines."""
    corpus = estimate_corpus(workload.documents, workload.tokens_each, constants)
    needs = estimate_embedded_resources(corpus, constants)
    one = fits_in_one_process(corpus, workload.memory_gb * 1e9, constants)
    one = (
        one
        # guard: many-questions-need-cluster
        and workload.questions_an_hour <= _ONE_PROCESS_QUESTIONS
        # guard: fast-indexing-needs-cluster
        and needs.compute_index_seconds(workload.cores) <= workload.index_hours * 3600
    )
    machine = Machine(workload.cores, workload.memory_gb)
    index = (
        None
        if one
        else plan_index(corpus, machine, constants, vector_dimension=workload.dimension, high_availability=True)
    )
    service: ServicePlan | ServiceLimit | None = None
    if server is not None and workload.questions_an_hour:
        service = plan_question_service(
            ModelServer(server, constants),
            build_direct_question(constants),
            constants,
            questions_per_hour=workload.questions_an_hour,
            p95_seconds=workload.answer_seconds,
        )
    return DeploymentPlan(workload, corpus, needs, index, server, service)
