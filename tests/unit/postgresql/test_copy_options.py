"""The options of COPY … TO STDOUT: each one in both syntaxes, and what makes a form that can't be rewritten."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
from tests.model.copy_rows import BINARY, CSV, TEXT

from querywarden.model.facts import CopyFormat
from querywarden.postgresql.analysis import analyse


def form_of(options: str, *, begin: str = "COPY t TO STDOUT") -> CopyFormat | None:
    analysis = analyse(f"{begin} {options}".encode())
    assert isinstance(analysis, tuple), analysis
    return analysis[0].copy


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", TEXT),
        ("(FORMAT text)", TEXT),
        ("(FORMAT csv)", CSV),
        ("CSV", CSV),
        ("(FORMAT 'binary')", BINARY),
        ("BINARY", BINARY),
        ("(FORMAT binary, HEADER off)", BINARY),
        ("WITH DELIMITER '|' NULL AS ''", replace(TEXT, delimiter=b"|", null=b"")),
        ("USING DELIMITERS ';'", replace(TEXT, delimiter=b";")),
        ("(HEADER)", replace(TEXT, has_header=True)),
        ("(FORMAT csv, HEADER true)", replace(CSV, has_header=True)),
        ("(FORMAT csv, HEADER 1)", replace(CSV, has_header=True)),
        ("(FORMAT csv, HEADER 0)", CSV),
        ("(FORMAT csv, HEADER FALSE)", CSV),
        ("CSV HEADER QUOTE '$' ESCAPE AS E'\\\\'", replace(CSV, has_header=True, quote=b"$", escape=b"\\")),
        ("(FORMAT csv, QUOTE '$')", replace(CSV, quote=b"$", escape=b"$")),
        ("(FORMAT csv, DELIMITER E'\\t', NULL 'łgone')", replace(CSV, delimiter=b"\t", null="łgone".encode())),
        ('CSV FORCE QUOTE a, "B"', replace(CSV, force_quote=frozenset({"a", "B"}))),
        ('(FORMAT csv, FORCE_QUOTE (a, "B"))', replace(CSV, force_quote=frozenset({"a", "B"}))),
        ("CSV FORCE QUOTE *", replace(CSV, forces_all_quotes=True)),
        ("(FORMAT csv, FORCE_QUOTE *)", replace(CSV, forces_all_quotes=True)),
        ("(ENCODING 'utf-8')", TEXT),
        ("ENCODING 'Unicode'", TEXT),
        ("(NULL 'null')", replace(TEXT, null=b"null")),
        ("(NULL E'\\\\-')", replace(TEXT, null=b"\\-")),
        ("(FORMAT csv, NULL 'NA')", replace(CSV, null=b"NA")),
    ],
)
def test_options_are_read(options, expected):
    assert expected == form_of(options)


@pytest.mark.parametrize(
    "options",
    [
        "(ENCODING 'latin1')", "(ENCODING 'SQL_ASCII')", "(ENCODING)", "(FORMAT parquet)", '("FORMAT" csv)', "(FORMAT 'CSV')", "(FORMAT)",
        "(FORMAT csv, FORMAT csv)", "(HEADER match)", "(HEADER 2)", "(HEADER 1.0)", "(DELIMITER 'ab')", "(DELIMITER 'ł')", "(DELIMITER '')",
        "(DELIMITER 'a')", "(DELIMITER '7')", "(DELIMITER '.')", "(DELIMITER E'\\\\')", "(DELIMITER E'\\n')", "(NULL E'a\\nb')",
        "(DELIMITER 'X', NULL 'aXb')", "(QUOTE '$')", "(FORCE_QUOTE *)", "(FORMAT csv, QUOTE ',')", "(FORMAT csv, QUOTE 'ab')",
        "(FORMAT csv, ESCAPE E'\\n')", "(FORMAT csv, NULL 'a\"b')", "(FORMAT csv, FORCE_QUOTE a)", "(FORMAT binary, DELIMITER ',')",
        "(FORMAT binary, HEADER)", "(FORMAT binary, NULL '')", "(LOG_VERBOSITY verbose)", "(FREEZE)", "(DEFAULT 'x')", "(DELIMITER 5)",
        "(NULL 'alice@corp.example')", "(NULL E'\\\\n')", "(NULL E'\\\\\\\\')", "(NULL E'ab\\\\')", "(NULL E'\\\\N\\\\')",
    ],
)  # fmt: skip
def test_what_is_not_known_for_certain_is_not_rewritable(options):
    found = form_of(options)
    assert found is not None
    assert not found.is_rewritable


@pytest.mark.parametrize("statement", ["COPY t FROM STDIN", "COPY t TO '/tmp/x'", "COPY t TO PROGRAM 'cat'", "SELECT 1"])
def test_only_a_copy_to_the_client_has_a_form(statement):
    assert form_of("", begin=statement) is None


def test_the_form_of_a_query_is_read_and_pickled():
    found = form_of("(FORMAT csv)", begin="COPY (SELECT * FROM t) TO STDOUT")
    assert CSV == found
    assert CSV == pickle.loads(pickle.dumps(found))
    assert BINARY == form_of("", begin="COPY BINARY t TO STDOUT")
