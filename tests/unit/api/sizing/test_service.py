"""Plans from a laptop to ten billion tokens."""

from dataclasses import replace

import pytest

from api.sizing.constants import load_constants
from api.sizing.documents import Machine, estimate_corpus, estimate_embedded_resources, plan_index
from api.sizing.memory import MemoryPlan, ServerOptions, plan_memory
from api.sizing.models import load_model_checkpoint
from api.sizing.questions import (
    ModelServer,
    ServiceLimit,
    ServicePlan,
    build_direct_question,
    build_stations,
    plan_question_service,
)
from api.sizing.service import PlanRow, Workload, plan_deployment

CONSTANTS = load_constants()


def server(gpu: str = "h100", model: str = "Qwen/Qwen3-30B-A3B-Instruct-2507-FP8") -> MemoryPlan:
    return plan_memory(
        load_model_checkpoint(model), CONSTANTS.gpus[gpu], ServerOptions(max_model_len=32_768, max_num_seqs=64)
    )


def test_every_constant_says_where_it_comes_from() -> None:
    assert all(each.unit and each.source for each in CONSTANTS.figures.values())
    used = {name for name in CONSTANTS.figures if CONSTANTS.figures[name].origin == "measured"}
    assert {"processor_seconds_a_token", "memory_bytes_empty", "disk_bytes_a_chunk"} <= used


def test_a_laptops_documents_are_one_process_without_a_gpu() -> None:
    plan = plan_deployment(Workload(2_000, 1_000), None, CONSTANTS)
    assert plan.index is None
    names = [name for name, _, _ in plan.build_rows(None)]
    assert "processes" in names
    assert "gpus" not in names


def test_ten_billion_tokens_are_a_cluster_whose_vectors_are_quantized_and_held_twice() -> None:
    plan = plan_deployment(Workload(2_000_000, 5_000, questions_an_hour=10_000), server(), CONSTANTS)
    assert plan.index is not None
    assert plan.corpus.tokens == 10_000_000_000
    assert (plan.index.quantization, plan.index.replicas) == ("int8", 2)
    assert plan.index.nodes >= 3
    assert plan.ingest_cores * plan.wanted.index_hours * 3600 >= plan.needs.processor_seconds
    rows = {name: value for name, value, _ in plan.build_rows(2.5)}
    assert float(rows["cost_of_a_question"]) > 0


@pytest.mark.parametrize(
    "wanted",
    [Workload(600_000, 500), Workload(2_000, 1_000, memory_gb=1), Workload(2_000, 1_000, questions_an_hour=4_000)],
)
def test_what_one_process_cannot_search_hold_or_answer_is_a_cluster(wanted: Workload) -> None:
    assert (
        plan_deployment(replace(wanted, documents=1_000, questions_an_hour=0, memory_gb=64), None, CONSTANTS).index
        is None
    )
    assert plan_deployment(wanted, None, CONSTANTS).index is not None


def test_documents_that_must_be_there_soon_are_a_cluster() -> None:
    assert plan_deployment(Workload(20_000, 5_000, index_hours=24), None, CONSTANTS).index is None
    plan = plan_deployment(Workload(20_000, 5_000, index_hours=0.1), None, CONSTANTS)
    assert plan.index is not None
    assert plan.ingest_cores > plan.wanted.cores


def test_vectors_stay_in_full_while_they_fit() -> None:
    small = estimate_corpus(200_000, 1_000, CONSTANTS)
    index = plan_index(small, Machine(), CONSTANTS, vector_dimension=384, high_availability=True)
    assert (index.quantization, index.nodes) == ("none", 3)
    large = plan_index(small, Machine(memory_gb=4), CONSTANTS, vector_dimension=1024, high_availability=True)
    assert large.quantization == "int8"


def test_more_of_anything_never_takes_less() -> None:
    needs = [
        estimate_embedded_resources(estimate_corpus(count, 500, CONSTANTS), CONSTANTS) for count in (0, 1, 100, 10_000)
    ]
    assert needs == sorted(needs, key=lambda each: (each.processor_seconds, each.memory_bytes, each.disk_bytes))


def test_servers_grow_with_questions_and_shrink_with_patience() -> None:
    made = ModelServer(server(), CONSTANTS)

    def replicas(rate: float, seconds: float) -> int:
        plan = plan_question_service(
            made, build_direct_question(CONSTANTS), CONSTANTS, questions_per_hour=rate, p95_seconds=seconds
        )
        assert isinstance(plan, ServicePlan)
        assert plan.report.seconds[0.95] <= seconds
        return plan.replicas

    assert replicas(1_000, 30) == 1
    assert 1 < replicas(50_000, 30) <= replicas(50_000, 10)
    assert replicas(50_000, 30) < replicas(200_000, 30)


def test_a_model_that_does_not_fit_and_too_many_questions_are_limits() -> None:
    question = build_direct_question(CONSTANTS)
    large = server("l4", "Qwen/Qwen2.5-72B-Instruct")
    limit = plan_question_service(
        ModelServer(large, CONSTANTS), question, CONSTANTS, questions_per_hour=10, p95_seconds=60
    )
    assert limit == ServiceLimit(0, 0.0)
    (row,) = list_gpu_rows(large, Workload(2_000, 1_000, questions_an_hour=10))
    assert row[1] == "none suffice"
    assert "do not fit on 1 x NVIDIA L4" in row[2]

    crowd = Workload(2_000, 1_000, questions_an_hour=1e9)
    _, (name, most, _) = list_gpu_rows(server(), crowd)
    assert name == "reachable_questions_an_hour"
    assert isinstance(most, int)
    assert 1e6 < most < 1e9


@pytest.mark.parametrize("questions", [10, 1_000, 10_000, 50_000])
def test_a_time_that_more_servers_do_not_reach_is_no_plan_and_the_best_time_is_one(questions: int) -> None:
    wanted = Workload(2_000, 1_000, questions_an_hour=questions)
    made, question = ModelServer(server(), CONSTANTS), build_direct_question(CONSTANTS)
    alone = question.calls * made.compute_call_seconds(question, 1)
    for hopeless in (0.1, 1.01 * alone, 1.9 * alone):
        (_, suffices, advice), (name, best, found) = list_gpu_rows(server(), replace(wanted, answer_seconds=hopeless))
        assert (suffices, name) == ("none suffice", "reachable_answer_seconds_p95")
        assert f"set --answers-within to {best} or more" in advice
        gpus = int(found.removeprefix("with ").split()[0].replace(",", ""))
        assert gpus < 50
        rows = {name: value for name, value, _ in list_gpu_rows(server(), replace(wanted, answer_seconds=float(best)))}
        assert rows["gpus"] == gpus


def list_gpu_rows(planned: MemoryPlan, wanted: Workload) -> list[PlanRow]:
    rows = plan_deployment(wanted, planned, CONSTANTS).build_rows(None)
    return rows[[name for name, _, _ in rows].index("gpus") :]


def test_servers_with_a_call_each_are_as_fast_as_twice_as_many() -> None:
    made, question = ModelServer(server(), CONSTANTS), build_direct_question(CONSTANTS)
    few, many = (build_stations(made, question, CONSTANTS, replicas=count, rate=1.0)[-1] for count in (8, 16))
    assert few.slowdown(8) == many.slowdown(8) == many.slowdown(1) == 1.0
    assert few.slowdown(9) > 1.0


@pytest.mark.parametrize("busy", [1, 8, 64])
def test_speculation_shortens_writing_and_not_reading(busy: int) -> None:
    made = ModelServer(server(), CONSTANTS)
    figures = {**CONSTANTS.figures, "tokens_a_step": replace(CONSTANTS.figures["tokens_a_step"], value=2.0)}
    faster = ModelServer(server(), replace(CONSTANTS, figures=figures))
    question = build_direct_question(CONSTANTS)
    reading = replace(question, completion_tokens=0)
    assert faster.compute_call_seconds(question, busy) < made.compute_call_seconds(question, busy)
    assert faster.compute_call_seconds(reading, busy) == made.compute_call_seconds(reading, busy)
