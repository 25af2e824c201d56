"""Which tables a question may be about, and how they are described."""

from pathlib import Path

from ingest.tables import Column, ColumnType
from rlm.tables.catalog import MOST_DESCRIBED, Kind, TableCatalog
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
    assert description.count("columns:") == MOST_DESCRIBED
    assert '"t34"' in description
    assert len(description) < 10_000
