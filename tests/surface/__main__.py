"""Compares the surface with its record, or records it: `python -m tests.surface [--record]`."""

import argparse
import hashlib
import sys

from tests.surface import product
from tests.surface.record import RECORDED, WHAT_TO_DO, derive, find_changes, read_record, write_record


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.surface", description=__doc__)
    parser.add_argument("--record", action="store_true", help="write the record anew")
    wanted = parser.parse_args()
    derived = derive()
    changes = find_changes(read_record(), derived)
    print(changes or "The surface is as it is recorded.")
    print(f"SHA-256 of openapi.json: {hashlib.sha256(product.openapi_json().encode()).hexdigest()}")
    if wanted.record:
        write_record(derived)
        print(f"Recorded in {RECORDED}.")
        return 0
    if changes:
        print(f"\n{WHAT_TO_DO}")
    return 1 if changes else 0


if __name__ == "__main__":
    sys.exit(main())
