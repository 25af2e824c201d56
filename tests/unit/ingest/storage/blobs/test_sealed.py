"""A sealed file is bound to its name, and the release before is served until everything is."""

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.storage.blobs.keyring import KeyRing, generate_key
from ingest.storage.blobs.quarantine import Quarantine
from ingest.storage.blobs.sealed import FileFormat, SealedBlobs
from ingest.storage.blobs.sealed_format import FRAME_BYTES, MAGIC, UNBOUND_MAGIC
from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.errors import BlobChangedError, BlobKeyError
from ingest.storage.operations.resealing import reseal_all_files
from ingest.storage.sealing import InMemorySealRecord, Sealing
from tests.fakes.digest_records import DigestRecordsHere

ONE, TWO = "text/ab/one.txt", "text/cd/two.txt"


class Store:
    """A folder of sealed files, the record that the catalog would have, and what an intruder can do."""

    def __init__(self, folder: Path, sealing: Sealing = Sealing.MIXED, keys: str = "") -> None:
        self.plain = DirectoryBlobs(folder)
        self.keys = keys or generate_key()
        self.record = InMemorySealRecord(sealing)
        self.blobs = self.process()

    def process(self, keys: str = "") -> SealedBlobs:
        """Open the store as another process does."""
        return SealedBlobs(self.plain, KeyRing.parse(keys or self.keys), self.record)

    def exchange(self, one: str, two: str) -> None:
        first, second = self.plain.read(one), self.plain.read(two)
        self.plain.put(one, second)
        self.plain.put(two, first)

    def formats(self) -> set[FileFormat]:
        return {self.blobs.detect_file_format(key) for key in self.plain.iter_keys("text")}


def quiet(done: int, total: int) -> None:
    return None


@pytest.mark.parametrize("size", [1, 1000, FRAME_BYTES, 3 * FRAME_BYTES])
def test_files_that_were_exchanged_are_not_read_under_each_others_names(tmp_path: Path, size: int) -> None:
    store = Store(tmp_path, Sealing.BOUND)
    store.blobs.put(ONE, secrets.token_bytes(size))
    store.blobs.put(TWO, secrets.token_bytes(size))
    store.exchange(ONE, TWO)
    for blobs in (store.blobs, store.process()):
        for key in (ONE, TWO):
            with pytest.raises(BlobChangedError):
                blobs.read(key)
            with pytest.raises(BlobChangedError):
                b"".join(blobs.iter_blocks(key))


def test_nobody_without_the_key_can_make_a_file_empty(tmp_path: Path) -> None:
    store = Store(tmp_path, Sealing.BOUND)
    store.blobs.put(ONE, b"")
    assert (store.blobs.read(ONE), store.blobs.find_size(ONE), list(store.blobs.iter_blocks(ONE))) == (b"", 0, [])
    store.blobs.put(TWO, b"a sentence")
    sealed = store.plain.read(TWO)
    store.plain.put(TWO, sealed[:32] + bytes(8))
    for use in (store.process().read, store.process().find_size, lambda key: list(store.process().iter_blocks(key))):
        with pytest.raises(BlobChangedError):
            use(TWO)


def test_files_of_the_release_before_are_read_and_written_until_files_are_bound(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.blobs.put(ONE, b"as before")
    store.plain.put(TWO, b"from before there was a key")
    assert store.plain.read(ONE).startswith(UNBOUND_MAGIC)
    assert (store.blobs.read(ONE), store.blobs.read(TWO)) == (b"as before", b"from before there was a key")
    store.record.record_sealing(Sealing.BINDING)
    store.blobs.put_all({"text/ef/three.txt": b"bound"})
    assert store.plain.read("text/ef/three.txt").startswith(MAGIC)
    assert (store.blobs.read(ONE), store.blobs.read(TWO)) == (b"as before", b"from before there was a key")


def test_new_files_are_bound_at_once_where_the_settings_say_so(tmp_path: Path) -> None:
    blobs = SealedBlobs(
        DirectoryBlobs(tmp_path), KeyRing.parse(generate_key()), InMemorySealRecord(), always_binds=True
    )
    blobs.put(ONE, b"bound")
    assert blobs.detect_file_format(ONE) is FileFormat.BOUND
    assert blobs.read(ONE) == b"bound"


@pytest.mark.parametrize("planted", ["plain", "unbound"])
def test_once_files_are_bound_neither_plain_ones_nor_those_of_the_release_before_are_read(
    tmp_path: Path, planted: str
) -> None:
    store = Store(tmp_path)
    store.blobs.put(ONE, b"the words of one")
    old = store.plain.read(ONE)
    assert store.blobs.read(ONE) == b"the words of one"  # its head is known to this process from here on
    reseal_all_files(store.blobs, quiet)
    assert store.blobs.read(ONE) == b"the words of one"
    store.plain.put(ONE, b"planted" if planted == "plain" else old)
    for blobs in (store.blobs, store.process()):
        for use in (blobs.read, blobs.find_size, lambda key, blobs=blobs: list(blobs.iter_blocks(key))):
            with pytest.raises(BlobChangedError):
                use(ONE)


def test_a_process_that_knew_a_file_of_the_release_before_learns_that_it_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.blobs.put(ONE, b"as before")
    other = store.process()
    assert other.read(ONE) == b"as before"
    store.record.record_sealing(Sealing.BOUND)
    other._policy._known_until = 0.0  # some seconds later
    with pytest.raises(BlobChangedError):
        other.read(ONE)


def test_everything_is_bound_with_the_first_key_by_sealing_anew(tmp_path: Path) -> None:
    old = generate_key()
    before = Store(tmp_path, keys=old)
    before.blobs.put(ONE, b"with the old key")
    before.plain.put(TWO, b"plain")
    before.plain.put("quarantine/2026-11-30/original/ab/aside", b"aside")
    store = Store(tmp_path, keys=f"{generate_key()} {old}")
    done = reseal_all_files(store.blobs, quiet)
    assert (done.files, done.sealed, done.refused) == (3, 3, [])
    assert store.record.load_sealing() is Sealing.BOUND
    assert store.formats() == {FileFormat.BOUND}
    (first, _) = store.keys.split()
    alone = store.process(first)
    alone.require_marker_key()
    assert (alone.read(ONE), alone.read(TWO)) == (b"with the old key", b"plain")
    assert alone.read("quarantine/2026-11-30/original/ab/aside") == b"aside"
    assert reseal_all_files(alone, quiet).sealed == 0


def test_sealing_anew_takes_no_file_that_somebody_put_there_unless_told_to(tmp_path: Path) -> None:
    store = Store(tmp_path, Sealing.BOUND)
    store.blobs.put(ONE, b"ours")
    store.plain.put(TWO, b"planted, or of the release before")
    assert reseal_all_files(store.blobs, quiet).refused == [TWO]
    with pytest.raises(BlobChangedError):
        store.blobs.read(TWO)
    assert reseal_all_files(store.blobs, quiet, accept_unbound=True).sealed == 1
    assert store.blobs.read(TWO) == b"planted, or of the release before"


@pytest.mark.parametrize("accept_unbound", [False, True])
def test_sealing_anew_seals_no_text_that_differs_from_its_digest(tmp_path: Path, accept_unbound: bool) -> None:
    store, records = Store(tmp_path), DigestRecordsHere()
    for key in (ONE, TWO):
        store.plain.put(key, b"the salary is 52000")
        records.record(key, b"the salary is 52000")
    store.plain.put(TWO, b"the salary is 92000")
    done = reseal_all_files(store.blobs, quiet, digests=records, accept_unbound=accept_unbound)
    assert (done.sealed, done.refused) == (1, [TWO])
    assert store.plain.read(TWO) == b"the salary is 92000"
    assert store.blobs.read(ONE) == b"the salary is 52000"
    with pytest.raises(BlobChangedError):
        store.process().read(TWO)


def test_a_file_that_cannot_be_opened_keeps_no_other_from_being_bound(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.blobs.put(ONE, b"ours")
    store.blobs.put(TWO, b"damaged")
    store.plain.put(TWO, store.plain.read(TWO)[:-1] + b"?")
    assert reseal_all_files(store.blobs, quiet).refused == [TWO]
    assert (store.record.load_sealing(), store.blobs.read(ONE)) == (Sealing.BOUND, b"ours")


class Meanwhile(DirectoryBlobs):
    """Does something while a file is written, after its format was chosen."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.acts: list[Callable[[], object]] = []

    def _rename_to_key(self, path: Path, key: str) -> None:
        if self.acts:
            self.acts.pop()()
        super()._rename_to_key(path, key)


@pytest.mark.parametrize("together", [True, False])
def test_a_file_that_is_being_written_while_all_are_bound_is_bound(tmp_path: Path, together: bool) -> None:
    inner, record = Meanwhile(tmp_path), InMemorySealRecord()
    blobs = SealedBlobs(inner, KeyRing.parse(generate_key()), record)
    inner.acts.append(lambda: reseal_all_files(blobs, quiet))
    if together:
        blobs.put_all({ONE: b"written meanwhile"})
    else:
        blobs.put(ONE, b"written meanwhile")
    assert record.load_sealing() is Sealing.BOUND
    assert blobs.read(ONE) == b"written meanwhile"


def test_files_are_put_aside_and_back_and_copied_in_the_bound_format(tmp_path: Path) -> None:
    store = Store(tmp_path, Sealing.BOUND)
    store.blobs.put("original/ab/one", b"ours")
    aside = Quarantine(store.blobs)
    assert aside.quarantine_files(["original/ab/one"]) == 1
    (there,) = (key for key in store.blobs.iter_keys("quarantine") if "manifest" not in key)
    assert store.blobs.read(there) == b"ours"
    assert aside.restore_files(["original/ab/one"]) == 1
    store.blobs.copy("original/ab/one", "original/cd/two")
    assert store.blobs.move("original/ab/one", "original/ef/three")
    assert not store.blobs.move("original/ab/one", "original/ef/four")
    assert [store.blobs.read(f"original/{key}") for key in ("cd/two", "ef/three")] == [b"ours"] * 2
    assert store.blobs.find_size("original/ab/one") is None


def test_a_file_that_was_put_in_the_place_of_one_in_quarantine_is_left_to_its_reader(tmp_path: Path) -> None:
    store = Store(tmp_path, Sealing.BOUND)
    store.blobs.put("original/ab/one", b"ours")
    aside = Quarantine(store.blobs)
    aside.quarantine_files(["original/ab/one"])
    store.plain.put("original/ab/one", b"planted")
    assert aside.restore_files(["original/ab/one"]) == 0


def test_a_new_store_is_bound_from_its_first_file_and_an_older_one_is_not(tmp_path: Path) -> None:
    new = Store(tmp_path / "new")
    new.blobs.add_seal_marker()
    assert new.record.load_sealing() is Sealing.BOUND
    new.blobs.put(ONE, b"ours")
    again = Store(tmp_path / "new", keys=new.keys)  # its catalog was lost, and says nothing
    again.blobs.add_seal_marker()
    assert again.record.load_sealing() is Sealing.MIXED
    older = Store(tmp_path / "older")
    older.plain.put(ONE, b"from before there was a key")
    older.blobs.add_seal_marker()
    assert older.record.load_sealing() is Sealing.MIXED


def test_a_mark_that_was_changed_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.blobs.add_seal_marker()
    store.blobs.require_marker_key()
    store.plain.put("SEALED", store.plain.read("SEALED")[:-1] + b"?")
    with pytest.raises(BlobKeyError, match="SEALED"):
        store.blobs.require_marker_key()
