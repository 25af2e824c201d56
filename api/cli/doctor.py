"""`leadline doctor`: what is missing, and what to do about it."""

import os
import platform
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path

import httpx
import typer
from rich.console import Console
from rich.table import Table

from api.cli.client import running_url
from api.cli.environment import read_settings
from api.cli.fetching import needed
from api.language_model import model_profile
from api.reranking import open_reranking
from api.settings import Settings
from ingest.errors import LeadlineError
from ingest.parsing.sandbox import ParserSandbox
from retrieval.build import encoders
from retrieval.models.store import FileState, ModelStore
from rlm.llm.prices import FREE, Price
from rlm.llm.profiles import ModelProfile, ProfileFileError
from rlm.sandbox.build import build_sandbox, interpreter_release
from rlm.sandbox.forms import SandboxForm

_PACKAGES = ("ingest", "retrieval", "rlm", "api", "workers")
_ENGINES = ("qdrant_edge", "openvino", "openvino_genai", "tokenizers")


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `advice` is empty when it is well."""

    what: str
    found: str
    advice: str = ""


def doctor() -> None:
    """Look at everything the service needs and say what to do about what is missing; ends with 1 if anything is."""
    settings = read_settings()
    findings = [finding for check in _CHECKS for finding in check(settings)]
    table = Table("", "what", "found", show_lines=False)
    for finding in findings:
        table.add_row("[red]✗[/red]" if finding.advice else "[green]✓[/green]", finding.what, finding.found)
    console = Console()
    console.print(table)
    for finding in findings:
        if finding.advice:
            console.print(f"[red]{finding.what}[/red]: {finding.advice}", highlight=False)
    if any(finding.advice for finding in findings):
        raise typer.Exit(1)
    console.print("Everything the service needs is here.")


def foreign_owners() -> dict[str, list[str]]:
    """Other distributions that install packages of our names; the one imported would be a matter of luck."""
    owners = metadata.packages_distributions()
    return {
        name: others
        for name in _PACKAGES
        if (others := sorted({owner for owner in owners.get(name, []) if owner != "leadline"}))
    }


def _python(_: Settings) -> Iterator[Finding]:
    found = f"{platform.python_version()} at {sys.executable}"
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield Finding("Python", found, "" if fits else "Use Python 3.11, 3.12 or 3.13.")
    for name, others in foreign_owners().items():
        yield Finding(f"package {name}", ", ".join(others), f"Uninstall {', '.join(others)}: it hides Leadline's own.")


def _engines(settings: Settings) -> Iterator[Finding]:
    for name in _ENGINES:
        if name == "openvino_genai" and settings.llm != "local":
            continue
        try:
            import_module(name)
        except ImportError as error:
            yield Finding(name, str(error), "Install with `pip install 'leadline[embedded]'`, or run `make setup`.")
        else:
            yield Finding(name, metadata.version(name.replace("_", "-").replace("edge", "edge-py")))


def _models(settings: Settings) -> Iterator[Finding]:
    store = ModelStore(settings.models)
    for file in needed(settings, store):
        verification = store.check(file)
        well = verification.state is FileState.VERIFIED
        yield Finding(file.name, str(verification.state), "" if well else "Run `leadline models fetch`.")
    if settings.models.is_dir():
        yield Finding("models folder", str(settings.models))


def _encoder(settings: Settings) -> Iterator[Finding]:
    try:
        known = encoders(ModelStore(settings.models), settings)
        for name in dict.fromkeys((settings.encoder, settings.encoder_beside or settings.encoder)):
            encoder = known.named(name).open()
            encoder.query("Does it work?")
            encoder.close()
            yield Finding("encoder", encoder.fingerprint)
    except LeadlineError as error:
        yield Finding("encoder", error.detail, error.hint)


def _parser(_: Settings) -> Iterator[Finding]:
    with tempfile.TemporaryDirectory() as folder, ParserSandbox() as parser:
        sample = Path(folder) / "sample.html"
        sample.write_text("<h1>Does it work?</h1>")
        try:
            parser.parse(sample, "text/html", name=sample.name)
        except LeadlineError as error:
            yield Finding("parser process", error.detail, error.hint)
        else:
            yield Finding("parser process", "parses, within its limits")


def _sandbox(settings: Settings) -> Iterator[Finding]:
    try:
        sandbox = build_sandbox(settings.sandbox)
        session = sandbox.open({})
        works = session.run("6 * 7").output.strip() == "42"
        session.close()
        sandbox.close()
    except LeadlineError as error:
        yield Finding("sandbox", f"{settings.sandbox}: {error.detail}", error.hint or "Set LEADLINE_SANDBOX=plain.")
    else:
        advice = "" if works else "Reinstall with `make setup`: the sandbox's interpreter does not compute."
        yield Finding("sandbox", f"{settings.sandbox}, {interpreter_release()}", advice)
    if settings.sandbox is SandboxForm.PLAIN:
        has = "is installed: LEADLINE_SANDBOX=bubblewrap uses it" if shutil.which("bwrap") else "is not installed"
        yield Finding("bubblewrap", has)


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    if not os.access(folder, os.W_OK):
        yield Finding("data folder", str(settings.home), "Make it writable, or set LEADLINE_HOME to another.")
        return
    free = shutil.disk_usage(folder).free
    enough = free > settings.min_free_bytes
    advice = "" if enough else "Free some space: uploads are refused below LEADLINE_MIN_FREE_BYTES."
    yield Finding("data folder", f"{settings.home} ({free / 1e9:.1f} GB free)", advice)


def _port(settings: Settings) -> Iterator[Finding]:
    url = running_url(settings.home)
    if url:
        yield Finding("service", f"running at {url}")
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            yield Finding("port", f"{settings.port}: {error.strerror}", "Start with `--port`, or set LEADLINE_PORT.")
        else:
            yield Finding("port", f"{settings.host}:{settings.port} is free")


def _language_model(settings: Settings) -> Iterator[Finding]:
    remote = settings.remote_llm
    if remote is None:
        yield Finding("language model", settings.llm)
        return
    url, model = remote
    headers = {"Authorization": f"Bearer {settings.llm_api_key.get_secret_value()}"} if settings.llm_api_key else {}
    try:
        answer = httpx.get(f"{url}/models", headers=headers, timeout=5)
        names = [entry["id"] for entry in answer.raise_for_status().json()["data"]]
    except (httpx.HTTPError, ValueError, KeyError) as error:
        yield Finding("language model", f"{url}: {error}", "Check the address and key in LEADLINE_LLM.")
        return
    advice = "" if model in names else f"It serves {', '.join(names)}: name one of these in LEADLINE_LLM."
    yield Finding("language model", f"{model} at {url}", advice)


def _reranker(settings: Settings) -> Iterator[Finding]:
    try:
        reranking = open_reranking(settings, ModelStore(settings.models))
        if reranking is None:
            yield Finding("reranker", "none")
            return
        begun = time.perf_counter()
        try:
            reranking.scores("Does it work?", ["It works."] * reranking.depth)
        finally:
            reranking.close()
    except LeadlineError as error:
        yield Finding("reranker", f"{settings.reranker}: {error.detail}", error.hint)
        return
    took = (time.perf_counter() - begun) * 1000
    reads = f"reads {reranking.depth} passages, short ones in {took:,.0f} of {settings.rerank_deadline_ms:,} ms"
    yield Finding("reranker", f"{settings.reranker}: {reads}")


def _profile(settings: Settings) -> Iterator[Finding]:
    if settings.llm == "none":
        return
    try:
        profile = model_profile(settings)
    except ProfileFileError as error:
        yield Finding("model profile", error.detail, error.hint)
        return
    yield Finding("model profile", about_profile(profile))


def about_profile(profile: ModelProfile) -> str:
    """What decides how a model answers and what that costs, for people."""
    writes = "writes code" if profile.writes_code else "fills in plans"
    sizes = f"a window of {profile.context_tokens:,} tokens, {profile.parallel_calls} calls at once"
    return f"{profile.name}: {writes}, {sizes}, {_priced(profile.price)}"


def _priced(price: Price | None) -> str:
    if price is None:
        return "price not known"
    if price == FREE:
        return "free"
    return f"${price.prompt:f} and ${price.completion:f} for a million tokens read and written"


_CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _python,
    _engines,
    _models,
    _encoder,
    _parser,
    _sandbox,
    _disk,
    _port,
    _language_model,
    _profile,
    _reranker,
)
