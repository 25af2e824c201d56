"""Record tables read by the confined process."""

from pathlib import Path

from ingest.parsing.isolation.sandbox import ParserSandbox
from tests.support.record_tables import parsed_from

TEXT = 'id,paid on,sum,note\n1,2024-01-02,"€1,200.50","one\ntwo"\n2,,€3.25,\n3,2024-02-29,€0.05,three'


def test_a_spans_rows_come_through_the_parsers_child(tmp_path: Path) -> None:
    file = tmp_path / "upload"
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    with ParserSandbox(scratch_folder=tmp_path) as parser:
        document = parser.parse(file, "text/csv", name="payments.csv")
        plain = parser.parse(file, "text/plain", name="payments.txt")
        file.write_text("No table at all.")
        without = parser.parse(file, "text/plain", name="note.txt")
    assert document.text == TEXT
    assert document.tables == plain.tables == parsed_from(TEXT)
    assert without.tables == ()
