"""Removes each guard in a copy of the tree and runs the test that is named for it, which must then fail.

python -m tests.faults.remove_guards              all of them
python -m tests.faults.remove_guards fence        one of them
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PARTS = ("api", "ingest", "retrieval", "rlm", "workers", "tests", "pyproject.toml")


@dataclass(frozen=True)
class Guard:
    """`text` in `file` is what guards; `without` takes its place; `test` must fail then."""

    name: str
    file: str
    text: str
    without: str
    test: str


GUARDS = (
    Guard(
        "fence",
        "ingest/catalog/jobs.py",
        '.where(jobs.c.id == job.id, jobs.c.fence == job.fence, jobs.c.state == "running")\n        .values',
        '.where(jobs.c.id == job.id, jobs.c.state == "running")\n        .values',
        "tests/contract/test_catalog.py::test_a_worker_whose_lease_was_taken_cannot_commit_anything",
    ),
    Guard(
        "staging",
        "ingest/catalog/versions.py",
        "if not staged:",
        "if True:",
        "tests/contract/test_catalog_replace.py"
        "::test_the_old_content_is_searched_until_the_new_one_is_ready_and_then_that",
    ),
    Guard(
        "delete barrier",
        "workers/ingest_task.py",
        "if self._deps.catalog.removable(job.version_id) is not None:",
        "if False:",
        "tests/unit/workers/test_tasks.py::test_what_a_worker_wrote_for_a_document_deleted_under_it_is_removed_again",
    ),
    Guard(
        "late acknowledgement",
        "workers/enqueue/celery_app.py",
        '"task_acks_late": True',
        '"task_acks_late": False',
        "tests/faults/test_cluster.py::test_a_message_whose_worker_is_killed_comes_back_without_a_sweep",
    ),
    Guard(
        "followers look without being told",
        "api/sse.py",
        "time.monotonic() + _LOOK_SECONDS",
        "time.monotonic() + 3600",
        "tests/unit/api/test_sse.py"
        "::test_without_a_ring_changes_are_found_and_the_same_state_is_sent_once -o timeout=30",
    ),
    Guard(
        "generation of a job",
        "ingest/catalog/generation_rows.py",
        "if (connection.execute(query).scalar() or UNBOUND) != job.generation:",
        "if False:",
        "tests/contract/test_catalog_generations.py"
        "::test_what_was_written_to_the_generation_that_was_left_does_not_count",
    ),
    Guard(
        "chunks are inserted and never overwritten",
        "retrieval/qdrant_edge_index.py",
        ", update_mode=UpdateMode.InsertOnly",
        "",
        "tests/contract/test_index.py::test_writing_a_chunk_late_leaves_its_vector",
    ),
    Guard(
        "words are counted by tenant, embedded",
        "retrieval/qdrant_edge_index.py",
        "if self._sole_tenant.has_all(tenant_id):",
        "if True:",
        "tests/contract/test_index.py::test_no_tenants_words_move_another_tenants_scores",
    ),
    Guard(
        "words are counted by tenant, on a server",
        "retrieval/qdrant_server_index.py",
        "if self._sole_tenant.has_all(tenant_id):",
        "if True:",
        "tests/contract/test_index.py::test_no_tenants_words_move_another_tenants_scores",
    ),
    Guard(
        "a second tenant of this process is noticed at once",
        "retrieval/sole_tenant.py",
        "                self._tenants |= self._written\n",
        "                pass\n",
        "tests/unit/retrieval/test_sole_tenant.py",
    ),
    Guard(
        "budget over the tree",
        "rlm/llm/budgets.py",
        "            for budget, kept in self._upwards_keeping():\n                budget._require(",
        "            for budget, kept in [(self, NOTHING)]:\n                budget._require(",
        "tests/faults/test_hostile_trees.py",
    ),
    Guard(
        "reserved before it is sent",
        "rlm/llm/budgets.py",
        "settled + reserved + asked + back > limit",
        "settled + asked + back > limit",
        "tests/faults/test_hostile_trees.py",
    ),
    Guard(
        "a tenant's own replies",
        "rlm/llm/cache.py",
        "[tenant_id, profile.fingerprint,",
        "[profile.fingerprint,",
        "tests/unit/rlm/llm/test_cache.py::test_whatever_decides_the_reply_is_part_of_its_key",
    ),
    Guard(
        "handles stay in scope",
        "rlm/corpus/corpus.py",
        "if document is None or not document.handle.holds(handle) or ",
        "if document is not None and ",
        "tests/unit/rlm/corpus/test_corpus.py::test_another_tenants_text_in_the_same_blobs_is_out_of_reach",
    ),
    Guard(
        "large runs ask first",
        "rlm/tables/working.py",
        "        require_confirmation(total, self._context.wanted)\n",
        "",
        "tests/unit/rlm/tables/test_strategy.py::test_a_lot_of_work_is_begun_only_when_it_is_confirmed_or_budgeted",
    ),
    Guard(
        "records are one line",
        "rlm/untrusted.py",
        '_WHITE.sub(" ", without_template_tokens(text))',
        "text",
        "tests/unit/rlm/operators/test_operators.py::test_a_record_cannot_pose_as_another_or_end_the_data",
    ),
    Guard(
        "schemas fetch nothing",
        "rlm/llm/structured_output.py",
        ", registry=Registry()",
        "",
        "tests/unit/rlm/llm/test_structured_output.py::test_a_schema_never_makes_us_fetch_anything",
    ),
    Guard(
        "a tenant's own query cache",
        "retrieval/query_cache.py",
        "_Key(request.tenant_id, version,",
        '_Key("", version,',
        "tests/unit/retrieval/test_query_cache.py::test_another_tenants_hits_are_never_shown",
    ),
    Guard(
        "query cache of one corpus",
        "retrieval/query_cache.py",
        "key = _Key(request.tenant_id, version,",
        "key = _Key(request.tenant_id, 0,",
        "tests/unit/retrieval/test_query_cache.py::test_what_was_found_in_an_earlier_corpus_is_not_found_again_and_not_kept",
    ),
    Guard(
        "query cache of one generation",
        "retrieval/query_cache.py",
        "self.uncached.generation, _canonical",
        "1, _canonical",
        "tests/unit/retrieval/test_query_cache.py::test_the_generation_of_the_index_is_a_part_of_the_key",
    ),
    Guard(
        "query cache of one request",
        "retrieval/query_cache.py",
        "members = asdict(request)",
        'members = {"query": request.query, "tenant_id": ""}',
        "tests/unit/retrieval/test_query_cache.py::test_every_member_of_a_request_is_a_part_of_its_key",
    ),
    Guard(
        "a deletion counts",
        "ingest/catalog/catalog.py",
        "with self._changing_search_results(tenant_id) as connection:\n            deleted",
        "with write(self._engine) as connection:\n            deleted",
        "tests/unit/workers/test_query_cache.py"
        "::test_what_was_deleted_is_in_no_processs_cache_once_the_deletion_has_answered",
    ),
)


def bites(guard: Guard) -> bool:
    """Whether the test fails without the guard, and passes with it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for part in _PARTS:
            source = _ROOT / part
            if source.is_dir():
                shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, root / part)
        if not _passes(root, guard.test):
            print(f"{guard.name}: the test fails as it is")
            return False
        file = root / guard.file
        text = file.read_text()
        if text.count(guard.text) != 1:
            print(f"{guard.name}: {guard.file} has {text.count(guard.text)} places that say {guard.text!r}")
            return False
        file.write_text(text.replace(guard.text, guard.without))
        return not _passes(root, guard.test)


def _passes(root: Path, test: str) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *test.split()]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, check=False).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("guard", nargs="*", help=", ".join(guard.name for guard in GUARDS))
    chosen = parser.parse_args().guard
    silent = 0
    for guard in GUARDS:
        if not chosen or guard.name in chosen:
            found = bites(guard)
            silent += not found
            print(
                f"{guard.name:45} {'its test fails without it' if found else 'NOT NOTICED'}: {guard.test}", flush=True
            )
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
