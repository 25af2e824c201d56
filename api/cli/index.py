"""`leadline index`: migrate, verify, repair and rebuild the vector index."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from api.build.index_access import IndexAccess, VerificationResult, Watch, build_replica_state, open_index_access
from api.cli.console import Console
from api.cli.environment import read_cluster_settings, read_settings
from api.cli.fetching import fetch_missing_model_files
from ingest.storage.generations.records import (
    BuildProgress,
    Generation,
    GenerationState,
    IndexState,
    get_build_command,
)
from retrieval.encoders.registry import EncoderChoice
from retrieval.encoders.specs import is_encoder_description, parse_spec
from retrieval.index.copies import Replicas

app = typer.Typer(
    help="Manage the vector index: migrate it to another encoder or layout and back, verify, repair and rebuild it.",
    no_args_is_help=True,
)

_LINE_EVERY_SECONDS = 10.0
_MAX_DISAGREEMENTS = 20

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def show(as_json: AsJson = False) -> None:
    """Show the generations of the index with their encoders, sizes and progress, and the available encoders."""
    with _open_configured_index(read_only=True) as access:
        description = _build_index_description(access)
    if as_json:
        print(json.dumps(description))
        return
    console = Console()
    table = Table("generation", "state", "encoder", "chunks", "size", "created")
    for row in description["generations"]:
        table.add_row(
            str(row["id"]),
            _format_build_state(row),
            row["encoder"],
            _format_chunk_count(row),
            _format_index_size(row),
            _format_date(row["created_at"]),
        )
    console.print(table)
    choices = Table("encoder", "dimension", "", title="Available encoders", title_justify="left")
    for choice in description["encoders"]:
        choices.add_row(choice["name"], str(choice["dimension"]), choice["about"])
    console.print(choices)
    for difference in description["differences"]:
        console.print(f"{difference}.", highlight=False)
    if description["differences"]:
        console.print("To apply the settings, copy the index with `leadline index spread`.", highlight=False)
    console.print(describe_last_check(IndexState(**description["check"])), highlight=False)
    for each in description["copies"]:
        console.print(f"Generation {each['generation']}: {each['detail']} {each['advice']}".rstrip(), highlight=False)
    if description["next"]:
        console.print(description["next"], highlight=False)


@app.command()
def reembed(
    encoder: Annotated[
        str | None, typer.Option(help="The encoder to migrate to; omit it to continue a migration.")
    ] = None,
) -> None:
    """Build a new generation of the index with another encoder, while searches keep using the current one.

    In a cluster, this command does the work while the service keeps running; run it on several machines to share the
    work. On a data folder, the running service does the work, or this command if no service is running. If interrupted,
    run it again to continue.
    """
    with _open_configured_index(extra_encoder=encoder) as access, show_build_progress("Embedding") as watch:
        choice = None if encoder is None else _require_encoder(access, encoder)
        generation = access.build_switcher(watch).build_generation(choice, access.sparse.fingerprint)
    _print_line(f"Generation {generation.id} is complete. Activate it with `leadline index switch`.")


@app.command()
def spread() -> None:
    """Copy the index into a new generation with the current settings of the vector server.

    Use this command to change the number of shards or replicas, or the quantization. First restart every process with
    the new settings. Searches keep using the current generation, and no vectors are recomputed. Like `reembed`, the
    command can be interrupted and continued, and can run on several machines.
    """
    with _open_configured_index() as access, show_build_progress("Copying") as watch:
        generation = access.build_switcher(watch).copy_to_new_layout(access.store.list_differences)
    _print_line(f"Generation {generation.id} is complete. Activate it with `leadline index switch`.")


@app.command()
def switch() -> None:
    """Activate the newer generation for searches and workers.

    First, it adds the documents that are missing in this generation, if that takes less than
    LEADLINE_INDEX_SWITCH_SECONDS. Documents may go on arriving. All processes switch within seconds.
    """
    _activate_other_generation("switch")


@app.command()
def rollback() -> None:
    """Return to the previous generation, after adding the documents that have arrived since the switch."""
    _activate_other_generation("rollback")


@app.command()
def discard(
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also discard a generation that is still being built.")
    ] = False,
) -> None:
    """Delete the inactive generation and its index. This cannot be undone."""
    with _open_configured_index() as access:
        discarded = access.records.discard_inactive_generation(allow_unfinished=unfinished)
        removed = access.delete_discarded_indexes()
    if discarded is None:
        _print_line("The index has no inactive generation.")
    elif removed:
        _print_line(f"Deleted generation {discarded.id} and its index.")
    else:
        _print_line(f"Discarded generation {discarded.id}; the running service deletes its index within seconds.")


@app.command()
def rebuild() -> None:
    """Rebuild the whole index from the stored texts, and switch to it.

    Use this command after losing the vector data, for example. Documents are not parsed again. Searches use the old
    index until the new one is complete.
    """
    with _open_configured_index() as access, show_build_progress("Rebuilding") as watch:
        before = access.records.load_active_generation()
        generation = access.rebuild_index(watch)
        is_kept = before.id in {known.id for known in access.records.list_live_generations()}
        if not is_kept:
            access.delete_discarded_indexes()
    old = (
        f"Generation {before.id} is kept; delete it with `leadline index discard`."
        if is_kept
        else f"Generation {before.id}, which had lost documents, was deleted."
    )
    _print_line(
        f"Generation {generation.id} is active. {old} Compare it with the catalog with `leadline index verify`."
    )


@app.command()
def repair(
    yes: Annotated[bool, typer.Option("--yes", help="Create the replicas without asking.")] = False,
) -> None:
    """Recreate shard replicas that were lost with a node of the vector server.

    Searches keep working. Replicas on an offline node come back when the node does. If a node is lost for good, first
    remove it from the vector server: see deploy/RUNBOOKS.md. If interrupted, run the command again to continue. Exits
    with status 1 if shards still lack replicas.
    """
    with _open_configured_index(read_only=True) as access:
        found = access.fetch_replicas()
        if not found:
            _print_line("The index is not replicated, so there are no replicas to repair.")
            return
        for generation, copies in found.items():
            _print_line(f"Generation {generation}: {copies.describe()}")
        to_make = sum(len(copies.list_missing_replicas()) for copies in found.values())
        if to_make and not yes:
            typer.confirm(f"Create {to_make:,} {'replica' if to_make == 1 else 'replicas'} now?", abort=True)
        with _show_progress_bar("Copying") as advanced:
            repaired = access.repair_replicas(advanced)
    incomplete = [copies for copies in repaired.values() if copies.underreplicated_shards]
    if not incomplete:
        _print_line("Every shard has all its replicas.")
        return
    for copies in incomplete:
        _print_line(f"{copies.describe()} {build_replica_advice(copies)}")
    raise typer.Exit(1)


def build_replica_advice(replicas: Replicas) -> str:
    """Return advice on shards without enough replicas, or an empty string if there are none."""
    if not replicas.underreplicated_shards:
        return ""
    if not all(shard.active | shard.inactive for shard in replicas.underreplicated_shards):
        return "Run `leadline index rebuild`: some shards have no replica left on any node."
    if replicas.list_missing_replicas():
        return "Run `leadline index repair`."
    if replicas.unreachable_nodes:
        return (
            "Restart the node, which brings back its replicas. If the node is lost for good, remove it and run "
            "`leadline index repair`; see LeadlineCopiesMissing in deploy/RUNBOOKS.md."
        )
    if any(shard.inactive for shard in replicas.underreplicated_shards):
        return "Wait: the vector server completes the replicas while their nodes are running."
    return (
        "Add a node to the vector server and run `leadline index repair`: each replica of a shard needs its own node."
    )


@app.command()
def verify(
    generation: Annotated[int | None, typer.Option(help="The generation to verify; the active one by default.")] = None,
    sample: Annotated[int, typer.Option(help="Number of chunks to encode again and compare.", min=0)] = 200,
    seed: Annotated[int, typer.Option(help="Random seed for choosing these chunks.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare the index with the catalog and texts, version by version.

    Checks the id, span, page and headings of every chunk, and that its vector exists. For a sample of chunks, it also
    checks that the vector matches the text and that a keyword search finds the chunk. Nothing is changed. Exits with
    status 1 if there are differences.
    """
    with _open_configured_index() as access:
        live = {known.id: known for known in access.records.list_live_generations()}
        chosen = access.records.load_active_generation() if generation is None else live.get(generation)
        if chosen is None:
            raise typer.BadParameter("Unknown generation. List the generations with `leadline index show`.")
        with _show_progress_bar("Comparing") as advanced:
            verified = access.verify_index(chosen, sample_size=sample, seed=seed, on_progress=advanced)
    if as_json:
        print(json.dumps({**asdict(verified), "agrees": verified.is_consistent}))
    else:
        _print_verification_result(verified)
    if not verified.is_consistent:
        raise typer.Exit(1)


def _print_verification_result(result: VerificationResult) -> None:
    console = Console()
    if result.is_consistent:
        cosine = "" if result.lowest_cosine is None else f", lowest cosine {result.lowest_cosine:.4f}"
        console.print(
            f"Generation {result.generation} matches the catalog: {result.versions:,} versions, "
            f"{result.chunks:,} chunks; {result.sampled:,} encoded again{cosine}.",
            highlight=False,
        )
        return
    table = Table("document", "version", "difference")
    for wrong in result.disagreements[:_MAX_DISAGREEMENTS]:
        counts = {name: value for name, value in asdict(wrong).items() if isinstance(value, int) and value}
        differences = ", ".join(
            "text lost or changed" if name == "text_lost" else f"{n:,} {name}" for name, n in counts.items()
        )
        table.add_row(wrong.document_id or "–", wrong.version_id, differences.replace("_", " "))
    console.print(table)
    if len(result.disagreements) > _MAX_DISAGREEMENTS:
        console.print(
            f"… and {len(result.disagreements) - _MAX_DISAGREEMENTS:,} more; `--json` lists all.", highlight=False
        )
    console.print(_format_repair_advice(result), highlight=False)


def _format_repair_advice(result: VerificationResult) -> str:
    advice = f"Generation {result.generation} differs from the catalog in {len(result.disagreements):,} versions."
    if any(wrong.text_lost for wrong in result.disagreements):
        advice += " Restore lost or changed texts from a backup, or upload the documents again."
    return f"{advice} Rebuild the index with `leadline index rebuild`; searches keep working meanwhile."


def _activate_other_generation(direction: str) -> None:
    with _open_configured_index() as access, show_build_progress("Catching up") as watch:
        before = access.records.load_active_generation()
        switcher = access.build_switcher(watch, switch_seconds=read_settings().index_switch_seconds)
        generation = switcher.switch() if direction == "switch" else switcher.roll_back()
    if generation.id == before.id:
        _print_line(f"Generation {generation.id} is already active.")
        return
    opposite = "rollback" if direction == "switch" else "switch"
    _print_line(
        f"Generation {generation.id} is active. Generation {before.id} is kept: return to it with `leadline index "
        f"{opposite}`, or delete it with `leadline index discard`."
    )


@contextmanager
def _open_configured_index(*, read_only: bool = False, extra_encoder: str | None = None) -> Iterator[IndexAccess]:
    """Open the index. `extra_encoder` may describe an additional encoder that is not in the settings."""
    settings, cluster = read_settings(), read_cluster_settings()
    if extra_encoder is not None and is_encoder_description(extra_encoder) and extra_encoder != settings.encoder_beside:
        known = {"encoder_beside": _parse_encoder(extra_encoder)}
        settings = settings.model_copy(update=known)
        cluster = cluster and cluster.model_copy(update=known)
        _print_line(
            f"Restart services and workers with LEADLINE_ENCODER_BESIDE={extra_encoder!r} so that they open this "
            "encoder."
        )
    with open_index_access(settings, cluster=cluster, catalog_only=read_only) as access:
        yield access


def _parse_encoder(encoder: str) -> str:
    try:
        return parse_spec(encoder).text
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--encoder") from error


def _require_encoder(access: IndexAccess, name: str) -> EncoderChoice:
    """Find an encoder by name, and open it once so that errors are raised before the work starts."""
    choice = access.encoders.get_by_name(name)
    if not is_encoder_description(name):
        fetch_missing_model_files(read_settings(llm="none", encoder=name))
    choice.open().close()
    return choice


def _build_index_description(access: IndexAccess) -> dict[str, Any]:
    generations = access.records.list_generations()
    progress = access.records.load_progress()
    beside = access.records.find_inactive_generation()
    rows = []
    for generation in generations:
        live = generation.state is not GenerationState.DISCARDED
        size = access.store.find_size(generation.id) if live else None
        rows.append(
            {
                **asdict(generation),
                "encoder": access.encoders.get_encoder_name(generation.encoder),
                "fingerprint": generation.encoder,
                "chunks": _count_chunks(generation, progress) if live else 0,
                "percent": progress.percent if generation.state is GenerationState.BUILDING else None,
                "failed": progress.failed if generation.state is GenerationState.BUILDING else 0,
                "size": asdict(size) if size else None,
            }
        )
    choices = [{"name": c.name, "dimension": c.dimension, "about": c.about} for c in access.encoders.choices]
    return {
        "generations": rows,
        "progress": {**asdict(progress), "percent": progress.percent} if beside else None,
        "encoders": choices,
        "differences": access.store.list_differences(access.records.load_active_generation().id),
        "copies": [
            {**asdict(build_replica_state(each, copies)), "advice": build_replica_advice(copies)}
            for each, copies in access.fetch_replicas().items()
        ],
        "check": asdict(access.states.load_state(access.records.load_active_generation().id)),
        "next": _format_next_step(beside, access.records.load_active_generation(), progress),
    }


def describe_last_check(state: IndexState) -> str:
    """Describe the most recent comparison of an index with the catalog."""
    if state.lost:
        return f"{state.lost} Searches are rejected until you rebuild the index with `leadline index rebuild`."
    if state.checked_at is None:
        return f"Generation {state.generation} has not been compared with the catalog yet."
    again = f" {state.requeued:,} documents have been reindexed since its creation." if state.requeued else ""
    if state.missing:
        found = f"{state.missing:,} of {state.versions:,} documents were missing from"
    else:
        found = f"all {state.versions:,} searchable documents are in"
    return f"Checked on {_format_date(state.checked_at)}: {found} generation {state.generation}.{again}"


def _count_chunks(generation: Generation, progress: BuildProgress) -> int:
    return progress.chunks if generation.state is GenerationState.ACTIVE else progress.chunks_done


def _format_next_step(other_generation: Generation | None, active: Generation, progress: BuildProgress) -> str:
    if other_generation is None:
        return ""
    if other_generation.state is GenerationState.PREVIOUS:
        return (
            f"Generation {other_generation.id}: activate it with `leadline index rollback`, or delete it with "
            "`leadline index discard`."
        )
    if progress.is_complete:
        command = "switch" if other_generation.id > active.id else "rollback"
        return f"Generation {other_generation.id} is complete: activate it with `leadline index {command}`."
    failed = f" This also retries {progress.failed:,} failed documents." if progress.failed else ""
    return (
        f"Generation {other_generation.id} is {progress.percent} % built: continue with "
        f"`leadline index {get_build_command(other_generation, active)}`.{failed}"
    )


def _format_build_state(row: dict[str, Any]) -> str:
    return f"building, {row['percent']} %" if row["percent"] is not None else str(row["state"])


def _format_chunk_count(row: dict[str, Any]) -> str:
    return f"{row['chunks']:,}" if row["chunks"] else "–"


def _format_index_size(row: dict[str, Any]) -> str:
    size = row["size"]
    if size is None:
        return "–"
    return decimal(size["disk_bytes"]) if size["points"] is None else f"{size['points']:,} points"


def _format_date(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M")


def _print_line(text: str) -> None:
    Console().print(text, highlight=False)


@contextmanager
def show_build_progress(label: str) -> Iterator[Watch]:
    """Show a progress bar that counts chunks, as soon as there is work to do."""
    with _show_progress_bar(label) as advanced:

        def watch(progress: BuildProgress, uncommitted: int) -> None:
            advanced(min(progress.chunks, progress.chunks_done + uncommitted), progress.chunks)

        yield watch


@contextmanager
def _show_progress_bar(label: str) -> Iterator[Any]:
    """Show a progress bar, and yield the function that updates it with the current count and the total.

    If standard error is not a terminal, print a line every ten seconds instead.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task(label, total=None)
        last = time.monotonic()

        def advance(done_count: int, total: int) -> None:
            nonlocal last
            bars.update(task, completed=done_count, total=total)
            if not console.is_terminal and time.monotonic() - last >= _LINE_EVERY_SECONDS:
                last = time.monotonic()
                console.print(f"{label}: {done_count:,} of {total:,}", highlight=False)

        yield advance
