import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.storage.texts.normalize import normalize
from tests.benchmark.__main__ import main
from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.folder import TaskFolder
from tests.benchmark.tasks.generate import TASKS, Spec, generate


def digest(folder: Path) -> str:
    """Over the names and bytes of all files."""
    summed = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        summed.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return summed.hexdigest()


def test_equal_specs_give_equal_bytes_whatever_the_hash_seed_and_other_seeds_others(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.benchmark.tasks.generate import *\n"
        "for task in TASKS: generate(Spec(task, 8000, seed=int(sys.argv[2])), Path(sys.argv[1]) / task)"
    )
    for name, hashes, seed in (("one", "1", "5"), ("same", "2", "5"), ("other", "1", "6")):
        command = [sys.executable, "-c", program, str(tmp_path / name), seed]
        subprocess.run(command, env={"PYTHONHASHSEED": hashes, "PYTHONPATH": ":".join(sys.path)}, check=True)
    for task in TASKS:
        one, same, other = (digest(tmp_path / name / task) for name in ("one", "same", "other"))
        assert one == same != other


def test_draws_are_those_that_were_always_drawn() -> None:
    draws = Draws("benchmark", 7)
    assert [draws.below(100) for _ in range(6)] == [23, 71, 41, 16, 31, 75]
    assert draws.sample(range(10), 4) == [2, 7, 4, 0]


@pytest.mark.parametrize("name", TASKS)
def test_documents_have_the_size_that_was_asked_for_and_stand_in_the_service_as_here(name: str, tmp_path: Path) -> None:
    texts = generate(Spec(name, 20_000), tmp_path).texts().values()
    chars_per_token = 3.4 if name in ("aggregation", "pairs") else 4.5
    assert sum(map(len, texts)) / chars_per_token == pytest.approx(20_000, rel=0.12)
    assert all(normalize(text) == text for text in texts)


def test_sentences_of_the_prose_hardly_repeat(task: Callable[[str], TaskFolder]) -> None:
    sentences = [each for text in task("needles").texts().values() for each in text.split(". ") if len(each) > 40]
    assert len(sentences) > 1_500
    assert len(set(sentences)) > 0.995 * len(sentences)


def test_a_new_task_takes_the_place_of_the_one_in_the_folder(tmp_path: Path) -> None:
    generate(Spec("needles", 110_000, count=2), tmp_path)
    folder = generate(Spec("aggregation", 8_000, count=2), tmp_path)
    assert list(folder.texts()) == ["records.txt"]
    assert not generate(Spec("needles", 8_000, count=2), tmp_path).records.exists()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (Spec("haystack", 8_000), "no task 'haystack'"),
        (Spec("needles", 100), "size"),
        (Spec("needles", 8_000, count=0), "at least one question"),
        (Spec("pairs", 8_000, labels="colours"), "label sets"),
    ],
)
def test_what_cannot_be_generated_is_refused_in_words(spec: Spec, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        generate(spec, tmp_path)


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    assert main(["generate", "needles", str(tmp_path)]) == 2
    assert "something else" in capsys.readouterr().err
