"""`leadline plan`: estimate machines, GPUs and time for a workload, or a model's GPU memory."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from api.cli.console import Console
from api.sizing.checkpoint import CheckpointError
from api.sizing.constants import Gpu, load_constants
from api.sizing.memory import GIB, MemoryPlan, ServerOptions, load_profile, plan_memory
from api.sizing.models import list_model_names, load_model_checkpoint
from api.sizing.service import DeploymentPlan, Workload, plan_deployment
from ingest.storage.errors import LeadlineError

app = typer.Typer(help="Estimate the machines, GPUs and time that documents, questions and models need.")

_LENGTHS = (4096, 8192, 32_768, 131_072)
AsJson = Annotated[bool, typer.Option("--json", help="Print the results as JSON.")]
GpuName = Annotated[str, typer.Option("--gpu", help="The GPU type, such as l4, rtx-4090, h100 or h200.")]


class PlanError(LeadlineError):
    """The options are not sufficient for a plan."""

    code = "plan"
    default_hint = "For the required options, see `leadline plan --help`."


@app.callback(invoke_without_command=True)
def plan_service(
    context: typer.Context,
    documents: Annotated[int | None, typer.Option(help="Number of documents.", min=1)] = None,
    tokens: Annotated[float | None, typer.Option(help="Average number of tokens per document.", min=1)] = None,
    pages: Annotated[
        float | None, typer.Option(help="Average number of pages per document, instead of --tokens.", min=1)
    ] = None,
    questions: Annotated[float, typer.Option(help="Number of questions in the busiest hour.", min=0)] = 0,
    model: Annotated[str, typer.Option(help="The model's name or checkpoint; see `leadline plan model --list`.")] = "",
    gpu: GpuName = "h100",
    gpus: Annotated[int, typer.Option(help="Number of GPUs per model server (tensor parallel).", min=1)] = 1,
    gpu_price: Annotated[float | None, typer.Option(help="Your price of one GPU per hour.", min=0)] = None,
    within: Annotated[float, typer.Option(help="Maximum number of hours for indexing all documents.", min=0.1)] = 24.0,
    answers_within: Annotated[
        float, typer.Option(help="Target 95th percentile of the answer time, in seconds.", min=1)
    ] = 30.0,
    cores: Annotated[int, typer.Option(help="Number of CPU cores per machine.", min=1)] = 16,
    memory: Annotated[float, typer.Option(help="Memory per machine in GB.", min=1)] = 64.0,
    dimension: Annotated[int, typer.Option(help="Number of dimensions of a vector.", min=1)] = 384,
    as_json: AsJson = False,
) -> None:
    """Plan the deployment for a number of documents and questions: machines, GPUs and the next bottleneck."""
    if context.invoked_subcommand is not None:
        return
    if documents is None or (tokens is None) == (pages is None):
        raise PlanError("A plan requires --documents, and either --tokens or --pages.")
    if questions and not model:
        raise PlanError(
            "Planning for questions requires --model.", hint="List models with `leadline plan model --list`."
        )
    constants = load_constants()
    workload = Workload(
        documents=documents,
        tokens_each=tokens if tokens is not None else (pages or 0) * constants["page_tokens"],
        questions_an_hour=questions,
        index_hours=within,
        answer_seconds=answers_within,
        cores=cores,
        memory_gb=memory,
        dimension=dimension,
    )
    server = plan_memory(load_model_checkpoint(model), require_gpu(gpu), _build_server_options(gpus)) if model else None
    plan = plan_deployment(workload, server, constants)
    _print_deployment_plan(plan, gpu_price, as_json)


@app.command("model")
def plan_model(
    model: Annotated[str, typer.Argument(help="The model's name, checkpoint folder or config.json.")] = "",
    profile: Annotated[
        Path | None, typer.Option(help="A server profile, such as deploy/vllm/profiles/one-24gb.yaml.")
    ] = None,
    gpu: GpuName = "h100",
    gpus: Annotated[int | None, typer.Option(help="Number of GPUs of the server (tensor parallel).", min=1)] = None,
    quantization: Annotated[str | None, typer.Option(help="Quantize the weights when loading, such as fp8.")] = None,
    cache_dtype: Annotated[
        str | None, typer.Option("--kv-cache-dtype", help="Data type of the KV cache, such as fp8.")
    ] = None,
    window: Annotated[int | None, typer.Option("--max-model-len", help="Context window in tokens.", min=1)] = None,
    length: Annotated[list[int] | None, typer.Option(help="Sequence length in tokens; may be repeated.", min=1)] = None,
    known: Annotated[bool, typer.Option("--list", help="List the known models and GPUs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compute a vLLM server's GPU memory for weights and KV cache, and how many sequences fit."""
    if known:
        print("\n".join(list_model_names()))
        print("\n".join(f"{each.id}: {each.name}" for each in load_constants().gpus.values()))
        return
    options = load_profile(profile) if profile is not None else ServerOptions()
    changes: dict[str, Any] = {
        "model": model or None,
        "tensor_parallel_size": gpus,
        "quantization": quantization,
        "kv_cache_dtype": cache_dtype,
        "max_model_len": window,
    }
    options = replace(options, **{name: value for name, value in changes.items() if value is not None})
    if not options.model:
        raise PlanError("No model was given.", hint="Name a model, or give a --profile. List models with --list.")
    _print_memory_plan(
        plan_memory(load_model_checkpoint(options.model), require_gpu(gpu), options), length or _LENGTHS, as_json
    )


def require_gpu(name: str) -> Gpu:
    """Return the GPU with this name. Raises a `CheckpointError` that lists the known GPUs if the name is unknown."""
    gpus = load_constants().gpus
    if name.lower() not in gpus:
        raise CheckpointError(f"Unknown GPU {name!r}.", hint=f"Choose one of {', '.join(gpus)}.")
    return gpus[name.lower()]


def _build_server_options(gpu_count: int) -> ServerOptions:
    """Build the options of a model server, with the values of the deployment profiles."""
    return ServerOptions(max_model_len=32_768, max_num_seqs=64, tensor_parallel_size=gpu_count)


def _print_memory_plan(plan: MemoryPlan, lengths: Sequence[int], as_json: bool) -> None:
    at_once = {length: plan.compute_concurrency(length) for length in lengths if length <= plan.window}
    figures = {
        "model": plan.checkpoint.name,
        "gpu": plan.gpu.name,
        "gpus": plan.gpus,
        "parameters": plan.checkpoint.parameter_count,
        "active_parameters": plan.checkpoint.active,
        "weights_gib": round(plan.weights / GIB, 2),
        "running_gib": round(plan.running / GIB, 2),
        "cache_gib": round(plan.cache / GIB, 2),
        "cache_bytes_a_token": round(plan.cache_token_bytes),
        "cache_tokens": plan.tokens,
        "at_once": at_once,
    }
    if as_json:
        print(json.dumps(figures))
    else:
        table = Table("per GPU", "GiB", "source", title=f"{plan.checkpoint.name} on {plan.gpus} x {plan.gpu.name}")
        table.add_row(
            "weights", f"{plan.weights / GIB:.2f}", f"{plan.checkpoint.parameter_count / 1e9:.1f} billion parameters"
        )
        table.add_row("runtime", f"{plan.running / GIB:.2f}", "an estimate; vLLM measures it at startup")
        share = f"the rest of {plan.options.gpu_memory_utilization:.0%} of {plan.gpu.memory_gib:g} GiB"
        table.add_row("cache", f"{plan.cache / GIB:.2f}", share)
        Console().print(table)
        print(f"One token takes {plan.cache_token_bytes / 1024:.0f} KiB of cache per GPU; {plan.tokens:,} tokens fit.")
        for tokens, count in at_once.items():
            print(f"  {count:>4} concurrent sequences of {tokens:,} tokens")
    if not plan.fits:
        raise PlanError(
            f"A sequence of {plan.window:,} tokens does not fit.",
            hint="Use a smaller context window, an FP8 cache, a quantized checkpoint, or more GPUs.",
        )


def _print_deployment_plan(plan: DeploymentPlan, gpu_price: float | None, as_json: bool) -> None:
    rows = plan.build_rows(gpu_price)
    if as_json:
        print(json.dumps({name: value for name, value, _ in rows}))
        return
    table = Table("resource", "amount", "source")
    for name, value, source in rows:
        table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value), source)
    Console().print(table)
