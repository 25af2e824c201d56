"""`leadline doctor`: check everything the service needs and report how to fix problems."""

import errno
import os
import platform
import re
import shlex
import shutil
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from importlib import import_module, metadata
from pathlib import Path

import httpx
import typer
from pydantic import SecretStr
from rich.table import Table

from api.build.index_access import inspect_index, inspect_replicas
from api.build.installation_access import open_installation_stores
from api.build.language_model import (
    ModelList,
    fetch_model_list,
    fetch_vllm_version,
    load_model_profile,
    open_configured_reranker,
)
from api.cli.client import find_service_url
from api.cli.console import Console
from api.cli.environment import read_cluster_settings, read_settings
from api.cli.fetching import list_required_model_files
from api.cli.index import build_replica_advice
from api.settings.settings import ServedModel, Settings
from ingest.parsing.isolation.sandbox import ParserSandbox
from ingest.parsing.ocr import is_ocr_installed
from ingest.storage.ballast import Ballast
from ingest.storage.blobs.opening import open_blobs
from ingest.storage.counts import format_count
from ingest.storage.errors import InstallationMismatchError, LeadlineError
from ingest.storage.generations.records import IndexState
from ingest.storage.permissions import list_exposed_paths
from retrieval.bounded_replies import MAX_SHORT_RESPONSE_BYTES, ResponseTooLargeError, build_response_limit_hooks
from retrieval.build import build_encoders, describe_server
from retrieval.errors import IndexLostError
from retrieval.models.store import ModelFileState, ModelStore
from rlm.errors import AnswerError, LanguageModelTimeoutError, LanguageModelUnavailableError
from rlm.llm.budgets import FREE, Budget, Limits, Price
from rlm.llm.port import SubCall, request_reply
from rlm.llm.profiles import ModelProfile, ProfileFileError, load_profiles
from rlm.llm.scheduler import SubCallScheduler
from rlm.sandbox.build import build_sandbox, get_interpreter_release
from rlm.sandbox.port import SandboxIsolation

_PACKAGES = ("leadline", "ingest", "retrieval", "rlm", "api", "workers")
_SCHEMA = {
    "type": "object",
    "properties": {"works": {"type": "boolean"}},
    "required": ["works"],
    "additionalProperties": False,
}
_SCHEMA_SECONDS = 120.0
# Maximum time for a program on the service's port to respond. `/health/live` responds at once even under load.
_LIVE_SECONDS = 5.0
# Oldest vLLM release that the `vllm` extra allows. `make audit` checks that this release has no known advisories.
OLDEST_VLLM = (0, 33)
# Maximum number of paths with wide permissions to list. The number is limited, because a data folder may contain
# millions of files, and one command fixes all their permissions.
_MAX_WIDER_PATHS = 1_000
_ENGINES = ("qdrant_edge", "openvino", "openvino_genai", "tokenizers")


@dataclass(frozen=True)
class Finding:
    """The result of a check. `advice` is empty if the check found no problem."""

    what: str
    found: str
    advice: str = ""


def doctor() -> None:
    """Check everything the service needs, and report problems and how to fix them.

    Exits with status 1 if there are any.
    """
    settings = read_settings()
    findings = [finding for check in _CHECKS for finding in check(settings)]
    table = Table("", "check", "result", show_lines=False)
    for finding in findings:
        table.add_row("[red]✗[/red]" if finding.advice else "[green]✓[/green]", finding.what, finding.found)
    console = Console()
    console.print(table)
    for finding in findings:
        if finding.advice:
            console.print(f"[red]{finding.what}[/red]: {finding.advice}", highlight=False)
    if any(finding.advice for finding in findings):
        raise typer.Exit(1)
    console.print("No problems found.")


def find_conflicting_distributions() -> dict[str, list[str]]:
    """Find other distributions that install a package with the same name as one of Leadline's, keyed by that name.

    Which of two packages with the same name is imported depends on their installation order.
    """
    owners = metadata.packages_distributions()
    return {
        name: others
        for name in _PACKAGES
        if (others := sorted({owner for owner in owners.get(name, []) if owner != "leadline"}))
    }


def _check_python(_: Settings) -> Iterator[Finding]:
    found = f"{platform.python_version()} at {sys.executable}"
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield Finding("Python", found, "" if fits else "Use Python 3.11, 3.12 or 3.13.")
    for name, others in find_conflicting_distributions().items():
        yield Finding(
            f"package {name}", ", ".join(others), f"Uninstall {', '.join(others)}: it shadows Leadline's own package."
        )


def _check_engines(settings: Settings) -> Iterator[Finding]:
    for name in _ENGINES:
        if name == "openvino_genai" and settings.llm != "local":
            continue
        try:
            import_module(name)
        except ImportError as error:
            yield Finding(
                name,
                str(error),
                "Install the missing packages with `pip install './leadline[embedded]'`, or run `make setup`.",
            )
        else:
            yield Finding(name, metadata.version(name.replace("_", "-").replace("edge", "edge-py")))


def _check_models(settings: Settings) -> Iterator[Finding]:
    store = ModelStore(settings.models)
    for file in list_required_model_files(settings, store):
        verification = store.check_file(file)
        well = verification.state is ModelFileState.VERIFIED
        yield Finding(file.name, str(verification.state), "" if well else "Run `leadline models fetch`.")
    if settings.models.is_dir():
        yield Finding("models folder", str(settings.models))


def _check_encoder(settings: Settings) -> Iterator[Finding]:
    try:
        known = build_encoders(ModelStore(settings.models), settings)
        for name in dict.fromkeys((settings.encoder, settings.encoder_beside or settings.encoder)):
            encoder = known.get_by_name(name).open()
            encoder.embed_query("Does it work?")
            encoder.close()
            yield Finding("encoder", encoder.fingerprint)
    except LeadlineError as error:
        yield Finding("encoder", error.detail, error.hint)


def _check_parser(settings: Settings) -> Iterator[Finding]:
    isolation = settings.parser_isolation
    with tempfile.TemporaryDirectory() as folder, ParserSandbox(isolation=isolation) as parser:
        sample = Path(folder) / "sample.html"
        sample.write_text("<h1>Does it work?</h1>")
        try:
            parser.parse(sample, "text/html", name=sample.name)
        except LeadlineError as error:
            yield Finding("parser process", error.detail, error.hint)
        else:
            yield Finding("parser process", "works within its limits")
            confined = (
                " and ".join(parser.list_confinements()) or "nothing: a parser can read files and reach the network"
            )
            yield Finding("parser isolation", f"{isolation}: confined by {confined}")
        yield Finding("text in images", "is read" if is_ocr_installed() else "is not read: install the extra `ocr`")


def _check_sandbox(settings: Settings) -> Iterator[Finding]:
    try:
        sandbox = build_sandbox(settings.sandbox)
        session = sandbox.open({})
        works = session.run("6 * 7").output.strip() == "42"
        session.close()
        sandbox.close()
    except LeadlineError as error:
        yield Finding("sandbox", f"{settings.sandbox}: {error.detail}", error.hint or "Set LEADLINE_SANDBOX=plain.")
    else:
        advice = "" if works else "Reinstall with `make setup`: the sandbox's interpreter returns wrong results."
        yield Finding("sandbox", f"{settings.sandbox}, {get_interpreter_release()}", advice)
    if settings.sandbox is SandboxIsolation.PLAIN:
        has = "installed; enable it with LEADLINE_SANDBOX=bubblewrap" if shutil.which("bwrap") else "not installed"
        yield Finding("bubblewrap", has)


def _check_disk(settings: Settings) -> Iterator[Finding]:
    folder = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    if not os.access(folder, os.W_OK):
        yield Finding("data folder", str(settings.home), "Make it writable, or set LEADLINE_HOME to another folder.")
        return
    free = shutil.disk_usage(folder).free
    enough = free > settings.min_free_bytes
    advice = (
        "" if enough else "Free some disk space: uploads are rejected while less than LEADLINE_MIN_FREE_BYTES is free."
    )
    yield Finding("data folder", f"{settings.home} ({free / 1e9:.1f} GB free)", advice)
    ballast = Ballast(settings.home, settings.ballast_bytes)
    if (settings.home / "catalog.sqlite").exists() and not ballast.is_full_size:
        found = f"{ballast.held_bytes / 1e6:,.0f} of {settings.ballast_bytes / 1e6:,.0f} MB"
        yield Finding("ballast", found, "Free some disk space; the running service then restores the ballast.")


def _check_permissions(settings: Settings) -> Iterator[Finding]:
    """Check that other users of this machine cannot access the data folder."""
    cluster = read_cluster_settings()
    home = settings.home if cluster is None else cluster.home
    wider = list_exposed_paths(home, _MAX_WIDER_PATHS)
    if not wider:
        if home.is_dir():
            yield Finding("permissions", "only the owner can access the data folder")
        return
    count = f"at least {len(wider)} paths" if len(wider) == _MAX_WIDER_PATHS else f"{len(wider)} paths"
    if len(wider) == 1:
        count = "1 path"
    found = f"other users can access {count} in {home}, such as {wider[0]}"
    yield Finding("permissions", found, f"Run `chmod -R go= {shlex.quote(str(home))}`; the service may be running.")


def _check_installation(settings: Settings) -> Iterator[Finding]:
    """Check that the catalog, files and index belong together, and that the maintenance task is running."""
    cluster = read_cluster_settings()
    if cluster is None and not (settings.home / "catalog.sqlite").exists():
        return
    try:
        with open_installation_stores(settings, cluster) as parts:
            ids, quarantined, notices = (
                parts.load_installation_ids(),
                parts.count_quarantined_files(),
                parts.record.load_notices(),
            )
            undigested, cardless = parts.digests.count_undigested_versions(), parts.count_lacking_cards()
            undescribed = parts.cards.build_descriptions(settings.describe).count_waiting()
    except LeadlineError as error:
        yield Finding("installation", error.detail, error.hint)
        return
    known = sorted({identifier for identifier in ids.values() if identifier})
    if len(known) > 1:
        found = "; ".join(f"{part}: {identifier or 'none yet'}" for part, identifier in ids.items())
        yield Finding("installation", found, InstallationMismatchError.default_hint)
    else:
        yield Finding("installation", "".join(known) or "created at the first start")
    for name, detail in notices.items():
        yield Finding(name, detail, "For details, run `leadline installation show`.")
    if undigested:
        yield Finding("digests", f"{undigested:,} texts have none yet; the running service adds them")
    if cardless:
        yield Finding("cards", f"{cardless:,} documents have none yet; the running service adds them")
    if undescribed:
        failed = ", ".join(f"{count:,} after {reason}" for reason, count in undescribed.items() if reason)
        found = f"{format_count(sum(undescribed.values()), 'document')} waiting{failed and f' ({failed})'}"
        yield Finding("descriptions", found)
    if quarantined:
        yield Finding("quarantine", f"{quarantined:,} files that are not in the catalog, kept for a few days")


def _check_port(settings: Settings) -> Iterator[Finding]:
    url = find_service_url(settings.home)
    if url:
        yield Finding("service", f"running at {url}")
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            yield _describe_unavailable_port(settings, error)
        else:
            yield Finding("port", f"{settings.host}:{settings.port} is free")


def _describe_unavailable_port(settings: Settings, error: OSError) -> Finding:
    """Describe a port that cannot be opened. A Leadline service on it is no problem: in a pod, it is the API itself."""
    if error.errno != errno.EADDRINUSE:
        advice = "Set LEADLINE_HOST and LEADLINE_PORT to an address and a port that this user can open."
        return Finding("port", f"{settings.host}:{settings.port}: {error.strerror}", advice)
    from api.portal.links import build_browser_url  # Imports FastAPI.

    url = build_browser_url(f"http://{settings.host}:{settings.port}")
    hooks = build_response_limit_hooks(MAX_SHORT_RESPONSE_BYTES)
    # The service is on this machine, so proxies from the environment are ignored.
    with httpx.Client(base_url=url, timeout=_LIVE_SECONDS, trust_env=False, event_hooks=hooks) as client:
        # guard: own-service-on-port
        if is_leadline_service(client):
            return Finding("service", f"running at {url}")
    found = f"another program uses port {settings.port}"
    return Finding("port", found, "Stop that program, start with `--port`, or set LEADLINE_PORT.")


def is_leadline_service(client: httpx.Client) -> bool:
    """Return whether a Leadline service responds at the client's base URL."""
    try:
        response = client.get("/health/live")
        return response.is_success and bool(response.json() == {"status": "alive"})
    except (httpx.HTTPError, ResponseTooLargeError, ValueError):
        return False


def _check_blobs(settings: Settings) -> Iterator[Finding]:
    """Check that the blob store can be read and written with the configured keys."""
    cluster = read_cluster_settings()
    blob_settings, home = (settings, settings.home) if cluster is None else (cluster, cluster.home)
    if blob_settings.blobs == "folder" and blob_settings.blob_keys is None and not (home / "blobs").exists():
        return
    try:
        blobs = open_blobs(blob_settings, home, None)
        key = f"incoming/doctor-{uuid.uuid4().hex}"
        blobs.put(key, b"It works.")
        works = blobs.read(key, 3, 5) == b"works"
        blobs.delete(key)
    except LeadlineError as error:
        yield Finding("files", error.detail, error.hint)
        return
    sealed = "encrypted" if blob_settings.blob_keys is not None else "not encrypted"
    yield Finding(
        "files",
        f"{blobs.location}, {sealed}",
        "" if works else "A test file was read back with different content: check the storage.",
    )


def _check_vector_server(_: Settings) -> Iterator[Finding]:
    """Check a cluster's vector server, and report the settings that a new index would use."""
    cluster = read_cluster_settings()
    if cluster is None:
        return
    key, chosen = cluster.qdrant_api_key, cluster.vector_server
    try:
        found = describe_server(
            cluster.qdrant_url, api_key=key.get_secret_value() if key is not None else None, settings=chosen
        )
    except LeadlineError as error:
        yield Finding("vector server", error.detail, error.hint)
        return
    yield Finding("vector server", found, cluster.vector_server_warning or "")
    names = ("shards", "replicas", "write_consistency", "quantization", "vectors", "words")
    options = ", ".join(f"{name} {getattr(cluster, f'qdrant_{name}')}" for name in names)
    yield Finding("LEADLINE_QDRANT_…", options.replace("_", " "))


def _check_index(settings: Settings) -> Iterator[Finding]:
    """Compare the index with the catalog, or report the last comparison of a service using the data folder."""
    cluster = read_cluster_settings()
    if cluster is None and not (settings.home / "catalog.sqlite").exists():
        return
    try:
        state = inspect_index(settings, cluster)
    except LeadlineError as error:
        yield Finding("index", error.detail, error.hint)
        return
    if state is not None:
        yield Finding("index", describe_index_state(state), IndexLostError.default_hint if state.lost else "")


def _check_replicas(settings: Settings) -> Iterator[Finding]:
    """Check that every shard of the index has all of its replicas."""
    cluster = read_cluster_settings()
    if cluster is None:
        return
    try:
        found = inspect_replicas(settings, cluster)
    except LeadlineError as error:
        yield Finding("index replicas", error.detail, error.hint)
        return
    for generation, copies in found.items():
        description = f"generation {generation}: {copies.describe()}"
        yield Finding("index replicas", description, build_replica_advice(copies))


def describe_index_state(state: IndexState) -> str:
    """Summarize the last comparison of an index with the catalog."""
    if state.lost:
        return state.lost
    if state.checked_at is None and not state.versions:
        return f"generation {state.generation}: nothing to compare yet"
    again = f"; {state.requeued:,} were missing and have been reindexed" if state.requeued else ""
    when = f" (compared at {time.strftime('%H:%M', time.localtime(state.checked_at))})" if state.checked_at else ""
    if not state.versions:
        return f"generation {state.generation}: no searchable documents{when}{again}"
    found = "all of" if not state.missing else f"all but {state.missing:,} of"
    return f"generation {state.generation}: {found} {state.versions:,} documents{when}{again}"


def _check_identity_provider(settings: Settings) -> Iterator[Finding]:
    """Check the identity provider, and report only its problems: `leadline identity check` lists everything."""
    if settings.oidc_issuer is None:
        return
    try:
        from api.accounts.identity_check import check_provider
    except ImportError:
        yield Finding("identity provider", "PyJWT is not installed", "Run `pip install './leadline[oidc]'`.")
        return
    wrong = [each for each in check_provider(settings) if each.is_wrong]
    for each in wrong:
        yield Finding(f"identity provider: {each.what}", each.found, each.next_step or "Run `leadline identity check`.")
    if not wrong:
        yield Finding("identity provider", settings.oidc_issuer)


def _check_language_model(settings: Settings) -> Iterator[Finding]:
    """Check each server's model list, release, context window, and response to a request with a JSON schema."""
    if settings.llm == "none":
        yield Finding("language model", "none: answers consist of quotations")
        return
    try:
        profile = load_model_profile(settings)
    except ProfileFileError as error:
        yield Finding("model profile", error.detail, error.hint)
        return
    if settings.remote_llm is None:
        yield Finding("language model", settings.llm)
        yield Finding("model profile", describe_profile(profile))
        return
    found = yield from _check_model_servers("LEADLINE_LLM", settings.remote_llm, settings.llm_api_key)
    yield from _check_context_windows(settings, found.context_tokens)
    yield from _check_schema_support(settings.remote_llm, found, load_model_profile(settings), settings.llm_api_key)


def _check_helpers(settings: Settings) -> Iterator[Finding]:
    """Check the configured helper models."""
    for helper, served in settings.helpers.items():
        if served is None:
            continue
        try:
            profiles = load_profiles(settings.model_profiles)
        except ProfileFileError:  # The check of the main model has already reported this problem.
            return
        key = settings.helper_keys[helper]
        found = yield from _check_model_servers(f"LEADLINE_{helper.upper()}", served, key)
        profile = profiles.get_profile(served.model, context_tokens=found.context_tokens)
        yield Finding("model profile", describe_profile(profile))
        yield from _check_schema_support(served, found, profile, key)


@dataclass(frozen=True)
class _ModelServers:
    """The numbers of the servers that list a model, and the smallest context window they report."""

    serving: tuple[int, ...]
    context_tokens: int | None


def _check_model_servers(
    setting_name: str, served_model: ServedModel, api_key: SecretStr | None
) -> Generator[Finding, None, _ModelServers]:
    """Check that each server lists the model, and return the servers that do.

    Yields at least one finding per server.
    """
    windows: list[int] = []
    serving: list[int] = []
    role = "language model" if setting_name == "LEADLINE_LLM" else setting_name
    for number, url in enumerate(served_model.urls, 1):
        what = role + _format_server_number(served_model, number)
        listed = ModelList((), None)
        try:
            listed = fetch_model_list(url, served_model.model, api_key)
        except LanguageModelUnavailableError as error:
            if not error.reached:
                yield Finding(what, error.detail, f"Check the address and key in {setting_name}.")
                continue
        known = not listed.names or served_model.model in listed.names
        advice = "" if known else f"The server lists {', '.join(listed.names)}. Set one of these in {setting_name}."
        yield Finding(what, f"{served_model.model} at {url}", advice)
        yield from check_server_release(url, api_key)
        windows += [] if listed.context_tokens is None else [listed.context_tokens]
        serving += [number] if known else []
    return _ModelServers(tuple(serving), min(windows, default=None))


def _format_server_number(served_model: ServedModel, number: int) -> str:
    return f", server {number}" if len(served_model.urls) > 1 else ""


def check_server_release(url: str, api_key: SecretStr | None) -> Iterator[Finding]:
    """Check that a vLLM server is not older than `OLDEST_VLLM`. Yields nothing for other servers."""
    version = fetch_vllm_version(url, api_key)
    if version is None:
        return
    numbers = re.match(r"v?(\d+(?:\.\d+)*)", version)
    older = numbers is not None and tuple(map(int, numbers[1].split("."))) < OLDEST_VLLM
    oldest = ".".join(map(str, OLDEST_VLLM))
    advice = f"Upgrade vLLM to {oldest} or newer: older releases have known vulnerabilities." if older else ""
    yield Finding("model server", f"vLLM {version}", advice)


def _check_context_windows(settings: Settings, server_context_tokens: int | None) -> Iterator[Finding]:
    profile, without = (
        load_model_profile(settings, server_context_tokens=server_context_tokens),
        load_model_profile(settings),
    )
    yield Finding("model profile", describe_profile(profile))
    configured_tokens = settings.llm_context_tokens
    if (
        server_context_tokens is not None
        and configured_tokens is not None
        and configured_tokens > server_context_tokens
    ):
        advice = (
            f"The server's context window is {server_context_tokens:,} tokens: set at most that, or unset the variable."
        )
        yield Finding("LEADLINE_LLM_CONTEXT_TOKENS", f"{configured_tokens:,}", advice)
    elif profile.context_tokens < without.context_tokens:
        found = f"{profile.context_tokens:,} tokens on the server, {without.context_tokens:,} in the profile"
        yield Finding("context window", found)


def _check_schema_support(
    served_model: ServedModel, servers: _ModelServers, profile: ModelProfile, api_key: SecretStr | None
) -> Iterator[Finding]:
    """Check that each server follows a JSON schema, and report how requests were adjusted for it."""
    for number in servers.serving:
        url = served_model.urls[number - 1]
        yield _check_server_schema_support(
            f"JSON schema{_format_server_number(served_model, number)}", url, profile, api_key
        )


def _check_server_schema_support(label: str, url: str, profile: ModelProfile, api_key: SecretStr | None) -> Finding:
    # Import lazily, because the import takes seconds and only a remote model needs it.
    from rlm.llm.chat_models import build_remote_chat_model

    profile = replace(profile, call_seconds=_SCHEMA_SECONDS)
    chat = build_remote_chat_model(url, profile, api_key=api_key)
    scheduler = SubCallScheduler()
    started_at = time.perf_counter()
    try:
        bound = scheduler.bind_sub_calls(chat, profile, tenant_id="doctor", budget=Budget(Limits()))
        request_reply(bound, SubCall("You check a connection.", "Does it work? Say that it does.", 100, _SCHEMA))
    except LanguageModelTimeoutError as error:
        advice = f"A short request took longer than {_SCHEMA_SECONDS:.0f} seconds. Check the server's load and its log."
        return Finding(label, error.detail, advice)
    except AnswerError as error:
        return Finding(label, error.detail, error.hint)
    finally:
        scheduler.close()
    changes = str(chat.capabilities.accepted)
    found = f"works, in {time.perf_counter() - started_at:.1f} s"
    return Finding(label, f"{found}; adjusted for this server: {changes}" if changes else found)


def _check_reranker(settings: Settings) -> Iterator[Finding]:
    try:
        reranking = open_configured_reranker(settings, ModelStore(settings.models))
        if reranking is None:
            yield Finding("reranker", "none")
            return
        started_at = time.perf_counter()
        try:
            reranking.score_passages("Does it work?", ["It works."] * reranking.depth)
        finally:
            reranking.close()
    except LeadlineError as error:
        yield Finding("reranker", f"{settings.reranker}: {error.detail}", error.hint)
        return
    took = (time.perf_counter() - started_at) * 1000
    reads = f"{reranking.depth} short passages in {took:,.0f} ms; the deadline is {settings.rerank_deadline_ms:,} ms"
    yield Finding("reranker", f"{settings.reranker}: {reads}")


def describe_profile(profile: ModelProfile) -> str:
    """Summarize the profile's abilities, sizes and prices."""
    abilities = {"writes code": profile.writes_code, "routes": profile.routes, "judges": profile.judges}
    does = ", ".join(name for name, has in abilities.items() if has) or "answers from passages only"
    sizes = f"context window {profile.context_tokens:,} tokens, {format_count(profile.parallel_calls, 'parallel call')}"
    return f"{profile.name}: {does}; {sizes}; {_format_price(profile.price)}"


def _format_price(price: Price | None) -> str:
    if price is None:
        return "price unknown"
    if price == FREE:
        return "free"
    return f"${price.prompt:f} per million tokens read, ${price.completion:f} per million written"


_CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _check_python,
    _check_engines,
    _check_models,
    _check_encoder,
    _check_parser,
    _check_sandbox,
    _check_disk,
    _check_permissions,
    _check_installation,
    _check_port,
    _check_blobs,
    _check_vector_server,
    _check_index,
    _check_replicas,
    _check_identity_provider,
    _check_language_model,
    _check_helpers,
    _check_reranker,
)
