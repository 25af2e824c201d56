"""The programs of `examples/` print right answers with their sources, and its documents are as they are described."""

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pypdfium2
import pytest

from leadline import Client
from tests.support.example_service import DOCUMENTS, EXAMPLES, LATE_ORDERS, example_service


@dataclass(frozen=True)
class Program:
    """A program of `examples/`, and what it must print of its answer and of its sources."""

    name: str
    answer: str
    source: str


PROGRAMS = (
    Program("ask_rest", "even minutes slow", "[1] Seven Minutes Slow"),
    Program("ask_python", "1,640", "[1] Refrigeration Services Agreement, page 6"),
    Program("ask_langchain", "Harrow", "Seven Minutes Slow, characters"),
    Program("ask_openai", "30 days", "services-agreement.pdf"),
    Program("ask_mcp", "Bosun", "[1] Seven Minutes Slow"),
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, encoder_files: Path) -> Iterator[dict[str, str]]:
    """The environment of a user who started a service and has its key."""
    with example_service(tmp_path_factory.mktemp("home"), encoder_files) as (url, key):
        names = {name: value for name, value in os.environ.items() if not name.startswith("LEADLINE_")}
        yield {**names, "LEADLINE_URL": url, "LEADLINE_API_KEY": key}


def run(program: str, environment: dict[str, str]) -> str:
    command = [sys.executable, str(EXAMPLES / f"{program}.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_each_program_is_tested() -> None:
    assert {path.stem for path in EXAMPLES.glob("ask_*.py")} == {program.name for program in PROGRAMS}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_program_prints_the_answer_and_its_source(program: Program, service: dict[str, str]) -> None:
    for printed in (run(program.name, service), run(program.name, service)):  # the second time its document is there
        assert program.answer in printed
        assert program.source in printed


def test_late_orders_are_counted_as_a_reader_of_the_file_counts_them(service: dict[str, str]) -> None:
    with (DOCUMENTS / "orders.csv").open(newline="") as file:
        spanish = [order for order in csv.DictReader(file) if order["country"] == "Spain"]
    assert {order["status"] for order in spanish if not order["delivered_on"]} == {"cancelled"}
    delivered = [order for order in spanish if order["delivered_on"]]
    late = [order for order in delivered if date.fromisoformat(order["delivered_on"]) > due(order)]
    with Client(service["LEADLINE_URL"], service["LEADLINE_API_KEY"]) as leadline:
        document = leadline.upload(DOCUMENTS / "orders.csv")
        for _ in leadline.follow_document(document.id):
            pass
        answer = leadline.answer(LATE_ORDERS)
        behind = [row.values["order_id"] for row in leadline.rows_behind(answer.id or "")]
    assert answer.text.startswith(f"{len(late)} orders from Spain were late [1]")
    assert answer.sentences[0].check == "computed"
    assert behind == [order["order_id"] for order in late]


def due(order: dict[str, str]) -> date:
    return date.fromisoformat(order["promised_on"])


def test_the_contract_is_what_its_program_draws(tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.pdf"
    code = f"from pathlib import Path; from make_agreement import draw_agreement; draw_agreement(Path({str(drawn)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=EXAMPLES, check=True, timeout=120)
    assert pages(drawn) == pages(DOCUMENTS / "services-agreement.pdf")


def pages(path: Path) -> list[str]:
    document = pypdfium2.PdfDocument(path)
    texts = [page.get_textpage().get_text_range() for page in document]
    document.close()
    return texts
