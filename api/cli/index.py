"""`leadline index`: shows the generations of the vector index, moves it to another encoder or collection, and mends."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from api.build.index_access import IndexAccess, VerificationResult, Watch, build_copies_state, open_index_access
from api.cli.cluster import read_cluster_settings
from api.cli.environment import read_settings
from api.cli.fetching import fetch_needed_files
from ingest.storage.generations.records import BuildProgress, Generation, GenerationState, IndexState
from retrieval.encoders.registry import EncoderChoice
from retrieval.encoders.specs import is_described, parse_spec
from retrieval.index.copies import Copies

app = typer.Typer(
    help="Move the vector index to another encoder or collection and back, compare it with the catalog, make it again.",
    no_args_is_help=True,
)

_LINE_EVERY_SECONDS = 10.0
_MAX_DISAGREEMENTS = 20

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]


@app.command()
def show(as_json: AsJson = False) -> None:
    """Show generations with their encoders and sizes, the progress of one being built, and the encoders."""
    with _open_access(only_look=True) as access:
        shown = _build_description(access)
    if as_json:
        print(json.dumps(shown))
        return
    console = Console()
    table = Table("generation", "state", "encoder", "chunks", "takes", "begun")
    for row in shown["generations"]:
        table.add_row(
            str(row["id"]),
            _format_state(row),
            row["encoder"],
            _format_chunks(row),
            _format_size(row),
            _format_date(row["created_at"]),
        )
    console.print(table)
    choices = Table("encoder", "dimension", "", title="Encoders to choose from", title_justify="left")
    for choice in shown["encoders"]:
        choices.add_row(choice["name"], str(choice["dimension"]), choice["about"])
    console.print(choices)
    for difference in shown["differences"]:
        console.print(f"{difference}.", highlight=False)
    if shown["differences"]:
        console.print("`leadline index spread` copies the index to where the settings want it.", highlight=False)
    console.print(describe_check(IndexState(**shown["check"])), highlight=False)
    for each in shown["copies"]:
        console.print(f"Generation {each['generation']}: {each['detail']} {each['advice']}".rstrip(), highlight=False)
    if shown["next"]:
        console.print(shown["next"], highlight=False)


@app.command()
def reembed(
    encoder: Annotated[
        str | None, typer.Option(help="The encoder to move to; none goes on with what was begun.")
    ] = None,
) -> None:
    """Embed everything again with another encoder, beside the index that goes on being searched.

    In a cluster this command does the work, and the service runs on; give it on several machines and they share it. On
    a data folder the running service does it, or this command where none runs. Killed, it goes on where it was.
    """
    with _open_access(beside=encoder) as access, show_build_progress("Embedding") as watch:
        choice = None if encoder is None else _require_encoder(access, encoder)
        generation = access.build_switcher(watch).build_generation(choice, access.sparse.fingerprint)
    _print_line(f"Generation {generation.id} is whole. `leadline index switch` makes searches use it.")


@app.command()
def spread() -> None:
    """Copy the index to where the settings of the vector server want it: other shards, replicas or quantization.

    The index goes on being searched, and no vector is computed again. Start every process with the new settings first.
    Killed, or given on several machines, it goes on as `reembed` does.
    """
    with _open_access() as access, show_build_progress("Copying") as watch:
        generation = access.build_switcher(watch).spread(access.store.list_differences)
    _print_line(f"Generation {generation.id} is whole. `leadline index switch` makes searches use it.")


@app.command()
def switch() -> None:
    """Make searches and workers use the newer generation, in one step; every process follows within seconds."""
    _activate_other("switch")


@app.command()
def rollback() -> None:
    """Go back to the previous generation, once it has the documents that came since."""
    _activate_other("rollback")


@app.command()
def discard(
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Also one that is still being built.")] = False,
) -> None:
    """Remove the generation beside the active one, with its index; there is no way back to it then."""
    with _open_access() as access:
        gone = access.records.discard(unfinished=unfinished)
        removed = access.clean_up()
    if gone is None:
        _print_line("There is no generation beside the active one.")
    elif removed:
        _print_line(f"Generation {gone.id} and its index are removed.")
    else:
        _print_line(f"Generation {gone.id} is discarded; the running service removes its index within seconds.")


@app.command()
def rebuild() -> None:
    """Make the whole index again from what was uploaded, and switch to it: also when the vector data were lost.

    Nothing is parsed again. Searches use the old index until the new one is whole.
    """
    with _open_access() as access, show_build_progress("Rebuilding") as watch:
        before = access.records.load_active()
        generation = access.rebuild(watch)
        kept = before.id in {known.id for known in access.records.list_live()}
        if not kept:
            access.clean_up()
    old = (
        f"Generation {before.id} is kept: `leadline index discard` removes it."
        if kept
        else f"Generation {before.id}, which had lost documents, is removed."
    )
    _print_line(
        f"Generation {generation.id} is active. {old} `leadline index verify` compares the new one with the catalog."
    )


@app.command()
def repair(
    yes: Annotated[bool, typer.Option("--yes", help="Make the copies without asking.")] = False,
) -> None:
    """Make copies of shards again that were lost with a node of the vector server; searches go on meanwhile.

    A copy on a node that is only away comes back with the node. For a node that is lost for good, remove it from the
    server first: see deploy/RUNBOOKS.md. Interrupted, or given twice, it goes on where it was. Ends with 1 if shards
    still have fewer copies than they should.
    """
    with _open_access(only_look=True) as access:
        found = access.list_copies()
        if not found:
            _print_line("The index is kept in one place, so there are no copies to repair.")
            return
        for generation, copies in found.items():
            _print_line(f"Generation {generation}: {copies.describe()}")
        to_make = sum(len(copies.list_missing()) for copies in found.values())
        if to_make and not yes:
            typer.confirm(f"Make {to_make:,} {'copy' if to_make == 1 else 'copies'} now?", abort=True)
        with _show_bar("Copying") as advanced:
            repaired = access.repair_copies(advanced)
    left = [copies for copies in repaired.values() if copies.underreplicated_shards]
    if not left:
        _print_line("Every shard has the copies that it should have.")
        return
    for copies in left:
        _print_line(f"{copies.describe()} {advise_on_copies(copies)}")
    raise typer.Exit(1)


def advise_on_copies(copies: Copies) -> str:
    """Return what to do about shards that lack copies; empty if none does."""
    if not copies.underreplicated_shards:
        return ""
    if not all(shard.active | shard.inactive for shard in copies.underreplicated_shards):
        return "Run `leadline index rebuild`: of some shards, no node has a copy."
    if copies.list_missing():
        return "Run `leadline index repair`."
    if copies.unreachable_nodes:
        return (
            "Start the node again: its copies come back with it. If it is lost for good, remove it and run `leadline "
            "index repair`, as deploy/RUNBOOKS.md says (LeadlineCopiesMissing)."
        )
    if any(shard.inactive for shard in copies.underreplicated_shards):
        return "Wait: the vector server completes them by itself while their nodes run."
    return "Add a node to the vector server, and run `leadline index repair`: each copy needs a node of its own."


@app.command()
def verify(
    generation: Annotated[int | None, typer.Option(help="Another one than the active generation.")] = None,
    sample: Annotated[int, typer.Option(help="Chunks to encode again and compare.", min=0)] = 200,
    seed: Annotated[int, typer.Option(help="Chooses these chunks.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare the index with catalog and texts, version by version; ends with 1 where they disagree.

    Check every chunk's id, span, page and headings, and the presence of its vector; for a sample also that the vector
    is the text's, and that its words find it. Changes nothing.
    """
    with _open_access() as access:
        live = {known.id: known for known in access.records.list_live()}
        chosen = access.records.load_active() if generation is None else live.get(generation)
        if chosen is None:
            raise typer.BadParameter("there is no such generation; `leadline index show` lists them")
        with _show_bar("Comparing") as advanced:
            verified = access.verify(chosen, sample=sample, seed=seed, advanced=advanced)
    if as_json:
        print(json.dumps({**asdict(verified), "agrees": verified.is_consistent}))
    else:
        _print_verified(verified)
    if not verified.is_consistent:
        raise typer.Exit(1)


def _print_verified(verified: VerificationResult) -> None:
    console = Console()
    if verified.is_consistent:
        cosine = "" if verified.lowest_cosine is None else f", lowest cosine {verified.lowest_cosine:.4f}"
        console.print(
            f"Generation {verified.generation} agrees with the catalog: {verified.versions:,} versions, "
            f"{verified.chunks:,} chunks; {verified.sampled:,} encoded again{cosine}.",
            highlight=False,
        )
        return
    table = Table("document", "version", "disagreement")
    for wrong in verified.disagreements[:_MAX_DISAGREEMENTS]:
        counts = {name: value for name, value in asdict(wrong).items() if isinstance(value, int) and value}
        said = ", ".join(
            "text lost or changed" if name == "text_lost" else f"{n:,} {name}" for name, n in counts.items()
        )
        table.add_row(wrong.document_id or "–", wrong.version_id, said.replace("_", " "))
    console.print(table)
    if len(verified.disagreements) > _MAX_DISAGREEMENTS:
        console.print(
            f"… and {len(verified.disagreements) - _MAX_DISAGREEMENTS:,} more: `--json` has them all.", highlight=False
        )
    console.print(_format_repair_advice(verified), highlight=False)


def _format_repair_advice(verified: VerificationResult) -> str:
    said = f"Generation {verified.generation} disagrees with the catalog in {len(verified.disagreements):,} versions."
    if any(wrong.text_lost for wrong in verified.disagreements):
        said += " Texts that are lost or changed must come from a backup of the blobs, or be uploaded again."
    return f"{said} `leadline index rebuild` makes the index again, while this one goes on being searched."


def _activate_other(way: str) -> None:
    with _open_access() as access, show_build_progress("Catching up") as watch:
        before, switcher = access.records.load_active(), access.build_switcher(watch)
        generation = switcher.switch() if way == "switch" else switcher.roll_back()
    if generation.id == before.id:
        _print_line(f"Generation {generation.id} is active already.")
        return
    back = "rollback" if way == "switch" else "switch"
    _print_line(
        f"Generation {generation.id} is active. Generation {before.id} is kept: `leadline index {back}` goes to it "
        "again, `leadline index discard` removes it."
    )


@contextmanager
def _open_access(*, only_look: bool = False, beside: str | None = None) -> Iterator[IndexAccess]:
    """Open the index; `beside` may describe an encoder that the settings do not name."""
    settings, cluster = read_settings(), read_cluster_settings()
    if beside is not None and is_described(beside) and beside != settings.encoder_beside:
        known = {"encoder_beside": _parse_encoder(beside)}
        settings = settings.model_copy(update=known)
        cluster = cluster and cluster.model_copy(update=known)
        _print_line(f"Services and workers open it when they are started with LEADLINE_ENCODER_BESIDE={beside!r}.")
    with open_index_access(settings, cluster=cluster, only_look=only_look) as access:
        yield access


def _parse_encoder(encoder: str) -> str:
    try:
        return parse_spec(encoder).text
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--encoder") from error


def _require_encoder(access: IndexAccess, name: str) -> EncoderChoice:
    """Return an encoder that opens. Raises the obstacle before any work begins."""
    choice = access.encoders.get_by_name(name)
    if not is_described(name):
        fetch_needed_files(read_settings(llm="none", encoder=name))
    choice.open().close()
    return choice


def _build_description(access: IndexAccess) -> dict[str, Any]:
    generations = access.records.list_all()
    progress = access.records.load_progress()
    beside = access.records.find_beside_active()
    rows = []
    for generation in generations:
        live = generation.state is not GenerationState.DISCARDED
        size = access.store.find_size(generation.id) if live else None
        rows.append(
            {
                **asdict(generation),
                "encoder": access.encoders.get_name(generation.encoder),
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
        "differences": access.store.list_differences(access.records.load_active().id),
        "copies": [
            {**asdict(build_copies_state(each, copies)), "advice": advise_on_copies(copies)}
            for each, copies in access.list_copies().items()
        ],
        "check": asdict(access.states.load_state(access.records.load_active().id)),
        "next": _format_next_step(beside, progress),
    }


def describe_check(state: IndexState) -> str:
    """Return the result of the last check of an index in words."""
    if state.lost:
        return f"{state.lost} Searches are refused until `leadline index rebuild` has made it again."
    if state.checked_at is None:
        return f"Generation {state.generation} was not compared with the catalog yet."
    again = f" {state.requeued:,} were indexed again since it was made." if state.requeued else ""
    if state.missing:
        found = f"{state.missing:,} of {state.versions:,} documents were missing from"
    else:
        found = f"all {state.versions:,} documents that searches should find are in"
    return f"Checked on {_format_date(state.checked_at)}: {found} generation {state.generation}.{again}"


def _count_chunks(generation: Generation, progress: BuildProgress) -> int:
    return progress.chunks if generation.state is GenerationState.ACTIVE else progress.chunks_done


def _format_next_step(beside: Generation | None, progress: BuildProgress) -> str:
    if beside is None:
        return ""
    if beside.state is GenerationState.PREVIOUS:
        return f"`leadline index rollback` or `switch` goes to generation {beside.id}; `discard` removes it."
    if progress.is_complete:
        return f"Generation {beside.id} is whole: `leadline index switch` makes searches use it."
    failed = f" {progress.failed:,} documents failed; it tries them again." if progress.failed else ""
    return f"Generation {beside.id} is {progress.percent} % embedded: `leadline index reembed` goes on with it.{failed}"


def _format_state(row: dict[str, Any]) -> str:
    return f"building, {row['percent']} %" if row["percent"] is not None else str(row["state"])


def _format_chunks(row: dict[str, Any]) -> str:
    return f"{row['chunks']:,}" if row["chunks"] else "–"


def _format_size(row: dict[str, Any]) -> str:
    size = row["size"]
    if size is None:
        return "–"
    return decimal(size["disk_bytes"]) if size["points"] is None else f"{size['points']:,} points"


def _format_date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _print_line(text: str) -> None:
    Console().print(text, highlight=False)


@contextmanager
def show_build_progress(what: str) -> Iterator[Watch]:
    """Show a bar of chunks that appears when there is something to do."""
    with _show_bar(what) as advanced:

        def watch(progress: BuildProgress, uncommitted: int) -> None:
            advanced(min(progress.chunks, progress.chunks_done + uncommitted), progress.chunks)

        yield watch


@contextmanager
def _show_bar(what: str) -> Iterator[Any]:
    """Yield a function that takes progress and total; without a terminal it prints a line now and then."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task(what, total=None)
        last = time.monotonic()

        def advance(done: int, total: int) -> None:
            nonlocal last
            bars.update(task, completed=done, total=total)
            if not console.is_terminal and time.monotonic() - last >= _LINE_EVERY_SECONDS:
                last = time.monotonic()
                console.print(f"{what}: {done:,} of {total:,}", highlight=False)

        yield advance
