from ingest.storage.texts.chunks import build_context_line


def test_the_context_line_drops_consecutive_repetitions() -> None:
    assert build_context_line("Brine", ("BRINE", "Part I", "Chapter I")) == "Brine > Part I > Chapter I"
    assert build_context_line("Reader's guide", ("Reader’s Guide", "C++", "C")) == "Reader's guide > C++ > C"
    assert build_context_line(None, ()) == ""
