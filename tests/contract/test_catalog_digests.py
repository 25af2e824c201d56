"""The catalog's digests of texts and tables: recorded with the version, and added to versions of earlier releases."""

from sqlalchemy import Engine, func, select, update

from ingest.storage.db.schema import content_digests
from ingest.storage.db.schema import jobs as job_table
from ingest.storage.digests import BLOCK_BYTES, Digest
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.digests import ContentDigests
from ingest.storage.documents.records import IngestReport
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.operations.copying import CatalogCopies
from ingest.storage.queue.records import JobKind
from tests.support.catalogs import accept, searchable

LONG = b"word " * BLOCK_BYTES


def ingested(catalog: Catalog, jobs: Jobs, content: str, *names: str) -> str:
    """Accept a document and finish its ingest with digests of files with these names; returns its version."""
    version = accept(catalog, content).document.version.id
    (job,) = jobs.claim(JobKind.INGEST)
    digests = {
        key(version, name): Digest.from_content(LONG if name.endswith("txt") else name.encode()) for name in names
    }
    assert jobs.finish_ingest([IngestReport(job, None, None, 4, 1, digests=digests)]) == []
    return version


def key(version: str, name: str) -> str:
    kind, _, rest = name.partition(".")
    return f"{kind}/{version[:2]}/{version}.{rest}"


def ingested_by_the_previous_release(engine: Engine, jobs: Jobs, version: str) -> None:
    """Ingest a version again as a process does that knows nothing of digests."""
    jobs.requeue_ingest(version)
    (job,) = jobs.claim(JobKind.INGEST)
    with engine.begin() as connection:
        connection.execute(update(job_table).where(job_table.c.id == job.id).values(state="done", lease_until=None))


def rows(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(content_digests)).scalar_one())


def test_digests_are_recorded_in_the_commit_that_makes_a_version_searchable(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    digests = ContentDigests(engine)
    version = ingested(catalog, jobs, "a", "text.txt", "text.json", "tables.0.parquet")
    found = digests.load_digests([version, "unknown"])
    assert found.keys() == {version}
    assert found[version]["text.txt"] == Digest.from_content(LONG)
    assert found[version]["tables.0.parquet"] == Digest.from_content(b"tables.0.parquet")
    assert digests.count_undigested_versions() == 0


def test_a_worker_that_lost_its_job_records_nothing(engine: Engine, catalog: Catalog, jobs: Jobs) -> None:
    document = accept(catalog, "a").document
    (job,) = jobs.claim(JobKind.INGEST)
    catalog.delete_document("ann", document.id)
    report = IngestReport(
        job, None, None, 4, 1, digests={key(document.version.id, "text.txt"): Digest.from_content(LONG)}
    )
    assert jobs.finish_ingest([report]) == [job]
    assert rows(engine) == 0


def test_versions_of_an_earlier_release_are_listed_counted_and_given_digests_once(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    digests = ContentDigests(engine)
    for content in "abc":
        accept(catalog, content)
        searchable(jobs)
    first, second, third = digests.list_undigested_versions("", 10)
    assert digests.list_undigested_versions(first.version_id, 1) == [second]
    assert digests.count_undigested_versions() == 3
    version = second.version_id
    assert digests.add_missing_digests(second, {key(version, "text.txt"): Digest.from_content(b"as it is")})
    assert digests.add_missing_digests(second, {key(version, "text.txt"): Digest.from_content(b"as it is later")})
    assert digests.load_digests([version])[version]["text.txt"] == Digest.from_content(b"as it is")
    assert digests.list_undigested_versions("", 10) == [first, third]


def test_digests_hold_while_a_version_is_ingested_again(engine: Engine, catalog: Catalog, jobs: Jobs) -> None:
    digests = ContentDigests(engine)
    version = ingested(catalog, jobs, "a", "text.txt", "text.json")
    before = digests.load_digests([version])
    jobs.requeue_ingest(version)
    assert digests.load_digests([version]) == before
    (job,) = jobs.claim(JobKind.INGEST)
    assert digests.load_digests([version]) == before
    assert digests.count_undigested_versions() == 0
    written = {
        key(version, "text.txt"): Digest.from_content(b"other words"),
        key(version, "text.json"): Digest.from_content(b"{}"),
    }
    catalog.replace_version_digests({job: written})
    assert digests.load_digests([version])[version]["text.txt"] == Digest.from_content(b"other words")
    assert jobs.finish_ingest([IngestReport(job, None, None, 4, 1, digests=written)]) == []
    assert digests.load_digests([version])[version]["text.txt"] == Digest.from_content(b"other words")


def test_a_version_that_is_ingested_for_the_first_time_has_no_digests_to_renew(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    version = accept(catalog, "a").document.version.id
    (job,) = jobs.claim(JobKind.INGEST)
    catalog.replace_version_digests({job: {key(version, "text.txt"): Digest.from_content(b"words")}})
    assert rows(engine) == 0


def test_digests_are_out_of_date_once_the_previous_release_has_ingested_the_version_again(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    digests = ContentDigests(engine)
    version, other = (ingested(catalog, jobs, content, "text.txt", "tables.json") for content in "ab")
    ingested_by_the_previous_release(engine, jobs, version)
    assert digests.load_digests([version, other]).keys() == {other}
    assert digests.select_candidate_versions("tables.7.parquet", [version, other]) == {version}
    required = {each.key: each.sha256 for each in CatalogCopies(engine).list_files({}) if version in each.key}
    assert required[key(version, "text.txt")] is None
    (lacking,) = digests.list_undigested_versions("", 10)
    assert lacking.version_id == version
    assert digests.count_undigested_versions() == 1
    assert digests.add_missing_digests(lacking, {key(version, "text.txt"): Digest.from_content(b"other words")})
    assert digests.load_digests([version])[version] == {"text.txt": Digest.from_content(b"other words")}
    assert digests.count_undigested_versions() == 0


def test_digests_of_files_that_were_read_before_another_ingest_are_not_recorded(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    digests = ContentDigests(engine)
    accept(catalog, "a")
    searchable(jobs)
    (lacking,) = digests.list_undigested_versions("", 10)
    ingested_by_the_previous_release(engine, jobs, lacking.version_id)
    assert not digests.add_missing_digests(
        lacking, {key(lacking.version_id, "text.txt"): Digest.from_content(b"the words before")}
    )
    assert rows(engine) == 0


def test_versions_without_tables_are_told_apart_without_reading_a_file(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    digests = ContentDigests(engine)
    plain = ingested(catalog, jobs, "a", "text.txt", "text.json")
    tabular = ingested(catalog, jobs, "b", "text.txt", "tables.json")
    accept(catalog, "c")
    searchable(jobs)
    (older,) = (each.version_id for each in digests.list_undigested_versions("", 10))
    assert digests.select_candidate_versions("tables.json", [plain, tabular, older]) == {tabular, older}


def test_digests_are_forgotten_with_their_version(engine: Engine, catalog: Catalog, jobs: Jobs) -> None:
    digests = ContentDigests(engine)
    version, other = (ingested(catalog, jobs, content, "text.txt", "text.json") for content in "ab")
    catalog.delete_derived_records(version)
    assert digests.load_digests([version]) == {}
    assert digests.load_digests([other]).keys() == {other}
    document = next(each for each in catalog.list_documents("ann") if each.version.id == other)
    catalog.delete_document("ann", document.id)
    assert digests.delete_orphaned_digests() == 2
    assert rows(engine) == 0


def test_a_backup_names_the_files_of_a_version_by_its_digests(engine: Engine, catalog: Catalog, jobs: Jobs) -> None:
    version = ingested(catalog, jobs, "a", "text.txt", "text.json", "tables.json")
    stray = {version: [key(version, "tables.json"), key(version, "tables.7.parquet")]}
    derived = {each.key: each for each in CatalogCopies(engine).list_files(stray) if version in each.key}
    assert derived.keys() == {key(version, name) for name in ("text.txt", "text.json", "tables.json")}
    assert derived[key(version, "text.txt")].sha256 == Digest.from_content(LONG).sha256.hex()
    assert all(each.required for each in derived.values())
    accept(catalog, "b")
    searchable(jobs)
    (older,) = (each.version_id for each in ContentDigests(engine).list_undigested_versions("", 10))
    named = {each.key: each.required for each in CatalogCopies(engine).list_files({}) if older in each.key}
    assert named == {key(older, "text.txt"): True, key(older, "text.json"): True, key(older, "text.positions"): False}
