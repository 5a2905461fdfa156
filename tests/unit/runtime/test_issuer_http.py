"""HTTP towards an issuer: which addresses may be asked, and what a Cache-Control header means."""

from __future__ import annotations

import pytest

from querywarden.runtime.issuer_http import is_safe_address, max_age_seconds


@pytest.mark.parametrize(
    ("address", "is_safe"),
    [
        ("https://idp.example.com", True),
        ("https://idp.example.com:8443/a/b?c=d", True),
        ("http://127.0.0.1:8080/x", True),
        ("http://localhost:8080", True),
        ("http://[::1]:8080", True),
        ("http://idp.example.com", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://localhost@evil.example", False),
        ("https://user@idp.example.com", False),
        ("https://idp.example.com/#x", False),
        ("https://", False),
        ("https://[::1", False),
        ("https://idp.example.com:port", False),
        ("ftp://idp.example.com", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_safe_addresses(address: str, is_safe: bool) -> None:
    assert is_safe_address(address) is is_safe


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", None),
        ("public", None),
        ("max-age=300", 300.0),
        ("public, max-age=300, must-revalidate", 300.0),
        ("Public, Max-Age = 300", 300.0),
        ('max-age="300"', 300.0),
        ("s-maxage=300", None),
        ("x-max-age=300", None),
        ("no-store", 0.0),
        ("max-age=300, no-cache", 0.0),
        ("max-age=-5", None),
    ],
)
def test_max_age(header: str, seconds: float | None) -> None:
    assert max_age_seconds(header) == seconds
