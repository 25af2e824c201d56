"""Addresses of web pages have one spelling."""

import pytest

from ingest.sources.web_addresses import Site, derive_name, normalize_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("HTTPS://A.Org", "https://a.org/"),
        ("https://a.org:443/b/../c/./d?x=1#part", "https://a.org/c/d?x=1"),
        ("http://a.org:8080/", "http://a.org:8080/"),
        ("https://a.org./%7eann/%c3%a4 b", "https://a.org/~ann/%C3%A4%20b"),
        ("https://bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4"),
        ("https://a.org/100%", "https://a.org/100%"),
        ("../up?q=a b", "https://base.org/up?q=a%20b"),
        ("?page=2", "https://base.org/docs/index.html?page=2"),
        ("https://[::1]:8443/", "https://[::1]:8443/"),
        ("mailto:ann@a.org", None),
        ("javascript:void(0)", None),
        ("https://ann:secret@a.org/", None),
        ("https://a.org:99999/", None),
        ("https://a.org/" + "x" * 1_000, None),
    ],
)
def test_addresses_are_written_in_one_way(url: str, expected: str | None) -> None:
    found = normalize_url(url, "https://base.org/docs/index.html")
    assert found == expected
    assert found is None or normalize_url(found) == found


def test_a_query_can_be_ignored() -> None:
    assert normalize_url("https://a.org/b?sid=1", ignore_query=True) == "https://a.org/b"


def test_a_site_has_the_pages_below_the_folder_of_its_address() -> None:
    site = Site.of_page("http://a.org/docs/index.html")
    assert site.contains("http://a.org/docs/b")
    assert site.contains("https://a.org/docs/b")
    for other in (
        "http://a.org/doc",
        "http://a.org:9200/docs/b",
        "http://b.org/docs/b",
        "http://a.org.evil.org/docs/b",
    ):
        assert not site.contains(other)
    assert not Site.of_page("https://a.org/").contains("http://a.org/")


def test_names_are_those_of_files() -> None:
    assert derive_name("https://a.org/docs/set%20up", "text/html") == "set up.html"
    assert derive_name("https://a.org/", "text/html") == "a.org.html"
    assert derive_name("https://a.org/b.pdf", "application/pdf") == "b.pdf"
    assert derive_name("https://a.org/p?id=5", None) == "p?id=5"
