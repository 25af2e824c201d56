"""The surface: every name and shape that users, their programs or another release can depend on, kept under review.

    python -m tests.surface             compare the code with the record, and print what differs
    python -m tests.surface --record    write the record anew; name the change in CHANGELOG.md

The record is `recorded/*.txt`, one file for each kind: routes, schemas, commands, settings, metrics, events, errors,
jobs, fingerprints, the database, MCP tools and the portal's assets. `tests/unit/test_surface.py` fails while the code
differs from it, so that no change of the surface goes unnoticed, however large the change around it is.

How it is derived:

* `product.py` is the only file that imports the product by path. Everything else is discovered: subclasses of
  `BaseSettings` and `LeadlineError`, the registry of metrics, the application's OpenAPI, the tree of commands, the
  database's metadata. A file that moves changes nothing here, unless it is one of those that `product.py` names.
* Names that exist only as literals in the code, such as those of spans, are read from its syntax trees (`source.py`).
* The environment, the home folder, the width of the terminal and Python's own texts do not reach the record.
* What would be too long as text, such as the description of an operation, is a digest beside the members that matter.
  Each operation and schema has its own, and OpenAPI as a whole has none in the record: two branches that change
  different routes would always conflict there. `python -m tests.surface` prints the digest of the whole.

Portal assets are recorded by name, not by content: a hash of each file would have to be recorded anew with every edit
of the portal, and nobody reads hashes. `git diff --stat -M` shows whether a move left them unchanged.
"""
