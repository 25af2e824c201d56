"""The gate on vLLM's release."""

import json
from datetime import date

import pytest

from rlm.llm.vllm_advisories import Advisory, advisories, advisories_of, fixed_release, of_osv

RANGE = Advisory("A-1", ("CVE-1",), "stops the server", "0.16.0", "0.21.0", "https://example.org")


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ("0.15.1", False),
        ("0.16", True),
        ("0.16.0", True),
        ("0.20.2.post1", True),
        ("0.20.2+cpu", True),
        ("0.21.0", False),
        ("0.21", False),
        ("0.100.0", False),
        ("v0.20.0", True),
    ],
)
def test_a_release_is_compared_by_its_numbers(version: str, affected: bool) -> None:
    assert RANGE.affects(version) is affected


def test_a_release_before_a_fix_is_named_with_it() -> None:
    found = advisories_of("0.17.1")
    by_id = {each.id: each for each in found}
    assert by_id["PYSEC-2026-2297"].sentence().endswith("(fixed in 0.18.0)")
    assert fixed_release(found) == max(
        (each.fixed for each in found if each.fixed), key=lambda it: it.split(".")[1].zfill(3)
    )


def test_the_release_that_deploy_installs_has_none() -> None:
    assert advisories_of("0.33.0") == []


@pytest.mark.parametrize("version", ["", "dev", "unknown"])
def test_of_what_is_no_release_none_is_told(version: str) -> None:
    assert advisories_of(version) == []


def test_an_advisory_without_a_fix_leaves_no_release() -> None:
    assert fixed_release([RANGE, Advisory("A-2", (), "", "0", None, "")]) is None
    assert fixed_release([]) is None


def test_the_file_says_when_it_was_read_and_where_each_entry_stands() -> None:
    found = advisories()
    assert date.fromisoformat(found.read_on).year >= 2026
    assert all(each.source.startswith("https://") and each.summary for each in found.known)
    assert len({(each.id, each.introduced) for each in found.known}) == len(found.known)


def test_records_of_osv_become_entries() -> None:
    record = {
        "id": "PYSEC-1",
        "aliases": ["CVE-1"],
        "details": "A request\nstops it.",
        "affected": [
            {
                "package": {"name": "vllm"},
                "ranges": [
                    {"type": "GIT", "events": [{"introduced": "0"}]},
                    {"type": "ECOSYSTEM", "events": [{"introduced": "0.2.0"}, {"fixed": "0.3.0"}]},
                ],
            },
            {"package": {"name": "another"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]},
        ],
    }
    withdrawn = {**json.loads(json.dumps(record)), "id": "PYSEC-2", "withdrawn": "2026-01-01"}
    (entry,) = of_osv(iter([withdrawn, record]))
    assert (entry["id"], entry["introduced"], entry["fixed"]) == ("PYSEC-1", "0.2.0", "0.3.0")
    assert entry["summary"] == "A request stops it."
