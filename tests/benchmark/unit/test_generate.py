import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ingest.normalize import normalize
from tests.benchmark.tasks.corpus import BenchmarkFolder
from tests.benchmark.tasks.generate import TASKS, Spec, generate
from tests.unit.tests.benchmark.tasks.conftest import read_documents


def digest(folder: Path) -> str:
    """Over the names and bytes of all files."""
    summed = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        summed.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return summed.hexdigest()[:16]


@pytest.mark.parametrize("task", TASKS)
def test_equal_specs_give_equal_bytes_and_other_seeds_others(task: str, tmp_path: Path) -> None:
    digests = []
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        generate(Spec(task, 8_000, seed=seed), tmp_path / name)
        digests.append(digest(tmp_path / name))
    assert digests[0] == digests[1] != digests[2]


def test_bytes_do_not_depend_on_the_hash_seed_of_the_process(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.benchmark.tasks.generate import *\n"
        "for task in TASKS: generate(Spec(task, 8000, seed=5), Path(sys.argv[1]) / task)"
    )
    for number in ("1", "2"):
        command = [sys.executable, "-c", program, str(tmp_path / number)]
        subprocess.run(command, env={"PYTHONHASHSEED": number, "PYTHONPATH": ":".join(sys.path)}, check=True)
    assert digest(tmp_path / "1") == digest(tmp_path / "2")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("size", [8_000, 60_000])
def test_documents_have_the_size_that_was_asked_for(task: str, size: int, tmp_path: Path) -> None:
    folder = generate(Spec(task, size), tmp_path)
    chars_per_token = 3.4 if task in ("aggregation", "pairs") else 4.5
    assert sum(map(len, read_documents(folder).values())) / chars_per_token == pytest.approx(size, rel=0.12)


@pytest.mark.parametrize("task", TASKS)
def test_documents_stand_in_the_service_as_they_stand_in_the_folder(task: str, tmp_path: Path) -> None:
    for text in read_documents(generate(Spec(task, 8_000), tmp_path)).values():
        assert normalize(text) == text


def test_sentences_of_the_filler_hardly_repeat(needles: BenchmarkFolder) -> None:
    sentences = Counter(
        sentence
        for text in read_documents(needles).values()
        for paragraph in text.split("\n\n")
        for sentence in paragraph.split(". ")
        if len(sentence) > 40
    )
    assert len(sentences) > 1_500
    assert sum(count - 1 for count in sentences.values()) < 0.002 * len(sentences)


def test_books_can_be_the_haystack(tmp_path: Path) -> None:
    books = tmp_path / "books"
    books.mkdir()
    (books / "one.md").write_text(
        "# Heading\n\n" + "The café stood by the sea, and it was an old one. " * 4 + "\n\nEnd."
    )
    folder = generate(Spec("needle", 3_000, count=3, unanswerable=0, haystack=str(books)), tmp_path / "made")
    (text,) = read_documents(folder).values()
    assert "café" in text
    assert "# Heading" not in text
    for question in folder.questions():
        (span,) = question.evidence
        assert question.gold[0] in text[span.start : span.end]


def test_a_new_benchmark_takes_the_place_of_the_one_in_the_folder(tmp_path: Path) -> None:
    generate(Spec("needle", 110_000, count=2), tmp_path)
    folder = generate(Spec("aggregation", 8_000, count=2), tmp_path)
    assert [path.name for path in folder.document_paths()] == ["records.txt"]
    folder = generate(Spec("needle", 8_000, count=2), tmp_path)
    assert not folder.records.exists()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (Spec("haystack", 8_000), "no task 'haystack'"),
        (Spec("needle", 100), "size"),
        (Spec("needle", 20_000_000), "size"),
        (Spec("needle", 8_000, count=0), "at least one question"),
        (Spec("needle", 8_000, unanswerable=2), "share"),
        (Spec("pairs", 8_000, labels="tickets"), "label set `questions`"),
        (Spec("aggregation", 8_000, labels="colours"), "label set"),
        (Spec("needle", 8_000, haystack="/nowhere"), "no .txt or .md"),
    ],
)
def test_what_cannot_be_generated_is_refused_in_words(spec: Spec, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        generate(spec, tmp_path)


@pytest.mark.parametrize(("task", "share"), [("aggregation", None), ("pairs", None), ("needle", 0.2)])
def test_a_folder_says_what_was_asked_for_and_nothing_else(tmp_path: Path, task: str, share: float | None) -> None:
    assert generate(Spec(task, 8_000), tmp_path / "made").about()["unanswerable"] == share
