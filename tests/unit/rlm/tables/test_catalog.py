"""Which tables a question may be about, and how they are described."""

from collections.abc import Sequence
from pathlib import Path

from ingest.tables import Column, ColumnType
from retrieval.passages import Passage
from rlm.tables.catalog import DESCRIBED_CHARS, MOST_DESCRIBED, Kind, TableCatalog
from rlm.tables.opened import open_table
from tests.support.ingested_tables import ingested

PROSE = "# The voyage\n\nShe left on Monday.\n\n## The storm\n\nThe mast broke.\n"
ORDERS = "id,product,price\n1,lamp,3.50\n2,chair,8\n3,desk,20\n"
MENU = "# Menu\n\n| dish | price |\n|---|---|\n| soup | 4 |\n| pie | 6 |\n"


def test_tables_of_every_format_are_seen_whatever_else_is_there(tmp_path: Path) -> None:
    people = '[{"name": "Ann", "age": 41}, {"name": "Bob", "age": 38}]'
    corpus, records = ingested(
        tmp_path, {"voyage.md": PROSE, "orders.csv": ORDERS, "menu.md": MENU, "people.json": people}
    )
    tables = TableCatalog(records).in_scope(corpus)
    found = {table.name: (table.kind, table.rows) for table in tables.tables}
    assert found["orders"] == (Kind.RECORDS, 3)
    assert found["people"] == (Kind.RECORDS, 2)
    assert found["documents"] == (Kind.DOCUMENTS, 4)
    assert found["sections"] == (Kind.SECTIONS, None)
    assert sorted(rows for kind, rows in found.values() if kind is Kind.RECORDS and rows) == [2, 2, 3]
    orders = tables.named("ORDERS")
    assert orders is not None
    assert [(column.name, column.type) for column in orders.columns] == [
        ("id", ColumnType.INTEGER),
        ("product", ColumnType.TEXT),
        ("price", ColumnType.NUMBER),
    ]
    assert "lamp" in tables.description()


def test_a_corpus_without_headings_has_no_sections(tmp_path: Path) -> None:
    corpus, records = ingested(tmp_path, {"orders.csv": ORDERS})
    assert TableCatalog(records).in_scope(corpus).named("sections") is None


def test_tables_with_the_same_columns_are_one_that_says_where_its_rows_are_from(tmp_path: Path) -> None:
    more = "id,product,price\n7,stool,\n8,shelf,cheap\n"
    corpus, records = ingested(tmp_path, {"orders-2024.csv": ORDERS, "orders-2025.csv": more, "menu.md": MENU})
    table = TableCatalog(records).in_scope(corpus).named("orders")
    assert table is not None
    assert table.rows == 5
    assert table.columns[2:] == (Column("price", ColumnType.TEXT), Column("document", ColumnType.TEXT))
    opened = open_table(table, corpus, records)
    assert list(opened.texts([4, 1])) == [
        "id: 7; product: stool; document: orders-2025.csv",
        "id: 1; product: lamp; price: 3.50; document: orders-2024.csv",
    ]
    assert [(each.document_id, each.rows) for each in opened.behind([1, 3, 5])] == [("doc-1", (1, 3)), ("doc-2", (2,))]
    assert [corpus.text(handle) for handle in opened.handles([5, 2])] == ["8,shelf,cheap", "2,chair,8"]
    assert [(each.text, each.heading_path[-1]) for each in opened.passages([4])] == [("7,stool,", "row 1")]


def test_names_of_files_become_names_that_sql_takes(tmp_path: Path) -> None:
    files = {
        "documents.csv": "a,b\n1,2\n3,4\n",
        "2024 sales (final).csv": "c,d\n1,2\n3,4\n",
        'drop "table".csv': "e,f\n1,2\n3,4\n",
    }
    corpus, records = ingested(tmp_path, files)
    names = [table.name for table in TableCatalog(records).in_scope(corpus).tables]
    assert names == ["documents_2", "table_2024_sales_final", "drop_table", "documents"]


def test_metadata_of_documents_are_columns_with_types(tmp_path: Path) -> None:
    corpus, records = ingested(
        tmp_path,
        {"one.txt": "Some words.", "two.txt": "Other words."},
        {"one.txt": {"year": 2024, "final": True, "title": "mine", "tags": ["a", "b"]}, "two.txt": {"year": 2025.5}},
    )
    table = TableCatalog(records).in_scope(corpus).named("documents")
    assert table is not None
    assert {column.name: column.type for column in table.columns[6:]} == {
        "year": ColumnType.NUMBER,
        "final": ColumnType.BOOLEAN,
        "title_attribute": ColumnType.TEXT,
        "tags": ColumnType.TEXT,
    }
    added = open_table(table, corpus, records).sql_table(tmp_path, {}).added
    assert added["tags"][1] == ('["a", "b"]', None)
    assert added["year"][1] == (2024, 2025.5)


def test_many_tables_and_long_cells_make_no_long_description(tmp_path: Path) -> None:
    tables = (f"## T{at}\n\n| a{at} | b |\n|---|---|\n| {'x' * 900} | 2 |\n" for at in range(MOST_DESCRIBED + 5))
    corpus, records = ingested(tmp_path, {"many.md": "# Many\n\n" + "\n".join(tables)})
    description = TableCatalog(records).in_scope(corpus).description()
    assert description.count("columns:") == MOST_DESCRIBED + 2  # documents and sections are two more
    assert '"t34"' in description
    assert len(description) < 10_000


def test_of_many_tables_those_are_described_first_that_a_search_finds(tmp_path: Path) -> None:
    def table(at: int) -> str:
        return f"## T{at}\n\n| a{at} | b |\n|---|---|\n| {at} | 2 |\n"

    files = {f"{name}.md": "\n".join(table(number * 100 + at) for at in range(20)) for number, name in enumerate("xyz")}
    corpus, records = ingested(tmp_path, files)
    catalog = TableCatalog(records)
    last = next(each for each in corpus.documents if each.name == "z.md")
    at = corpus.text(last.handle).index("## T207")
    asked: list[str] = []

    def search(query: str, top_k: int) -> Sequence[Passage]:
        asked.append(query)
        return [corpus.passage(last.handle[at : at + 24])]

    tables = catalog.in_scope(corpus, "How much is a207?", search)
    assert asked == ["How much is a207?"]
    assert [each.name for each in tables.tables[:2]] == ["t207", "t200"]
    description = tables.description()
    assert description.startswith('Table "t207"')
    assert 'Table "documents"' in description
    assert 'Table "sections"' in description
    assert len(description) < DESCRIBED_CHARS + 3_000
    (tmp_path / "few").mkdir()
    few, few_records = ingested(tmp_path / "few", {"menu.md": MENU})
    TableCatalog(few_records).in_scope(few, "How much is pie?", search)
    assert len(asked) == 1


def test_wide_tables_leave_room_for_the_question(tmp_path: Path) -> None:
    def table(at: int) -> str:
        names = [f"{'column ' * 9}{at} {number}" for number in range(40)]
        return f"## T{at}\n\n| {' | '.join(names)} |\n|{'---|' * 40}\n| {' | '.join(['value' * 8] * 40)} |\n"

    corpus, records = ingested(tmp_path, {"wide.md": "\n".join(map(table, range(12)))})
    description = TableCatalog(records).in_scope(corpus).description()
    assert len(description) < DESCRIBED_CHARS + 3_000
    assert "There are also: " in description
