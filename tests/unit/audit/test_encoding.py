"""The canonical line: what it looks like, and what has none."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from tests.model import chain as oracle

from querywarden.audit.canonical import Flaw, read_line, value_offset, write_line
from querywarden.audit.encoding import LINE_BYTES_MAX, TRUNCATION_MARK, Part, Unencodable, encode, encode_fitting, shared
from querywarden.model.facts import Verb

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
keys = st.text(st.characters(max_codepoint=127), max_size=8)
integers = st.integers(-(2**53 - 1), 2**53 - 1)
values = st.recursive(
    st.none() | st.booleans() | integers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
records = st.dictionaries(keys, values, max_size=6)


@settings(max_examples=300, deadline=None)
@given(records)
def test_the_line_is_what_the_definition_says(record):
    assert oracle.canonical(record) == encode(record)


@settings(max_examples=300, deadline=None)
@given(records)
def test_the_verifier_reads_back_what_was_encoded(record):
    line = encode(record)
    assert record == read_line(line)
    assert line == write_line(record)


@settings(max_examples=100, deadline=None)
@given(records.filter(bool))
def test_the_offset_of_a_value_is_where_its_bytes_are(record):
    line = encode(record)
    for key, value in record.items():
        at = value_offset(record, key)
        assert oracle.canonical(value) == line[at : at + len(oracle.canonical(value))]


def test_enumerations_of_text_are_text():
    assert b'{"verb":"select"}' == encode({"verb": Verb.SELECT})


@pytest.mark.parametrize(
    "record",
    [
        {"a": 1.0},
        {"a": float("nan")},
        {"a": 2**53},
        {"a": -(2**53)},
        {"a": 2**70},
        {"é": 1},
        {1: "a"},
        {"a": b"bytes"},
        {"a": {"b": {1, 2}}},
        {"a": object()},
        {"a": "\ud800"},
        {"a": [[[[[[[[[[1]]]]]]]]]]},
    ],
)
def test_what_has_no_canonical_line_is_refused(record):
    with pytest.raises(Unencodable):
        encode(record)
    with pytest.raises(Unencodable):
        encode_fitting(record)


def test_the_limit_is_exact():
    room = LINE_BYTES_MAX - len(encode({"a": ""}))
    assert LINE_BYTES_MAX == len(encode({"a": "x" * room}))
    with pytest.raises(Unencodable):
        encode({"a": "x" * (room + 1)})


@pytest.mark.parametrize("character", ["x", "é", "\x01", "\U0001f600", '"'])
def test_a_long_statement_is_cut_with_a_mark(character):
    line = encode_fitting({"stmt": {"norm": character * 200_000, "len": 200_000}, "seq": 1})
    statement = read_line(line)["stmt"]
    assert len(line) <= LINE_BYTES_MAX
    assert statement["norm"].endswith(TRUNCATION_MARK)
    assert statement["truncated"] is True
    assert 200_000 == statement["len"]
    assert len(line) > LINE_BYTES_MAX * 0.9  # no more is cut than is needed, nearly


@pytest.mark.parametrize("record", [{"a": "x" * 70_000}, {"stmt": {"norm": "short"}, "a": "x" * 70_000}, {"stmt": "x" * 70_000}])
def test_what_can_not_be_cut_is_refused(record):
    with pytest.raises(Unencodable):
        encode_fitting(record)


@pytest.mark.parametrize(
    ("line", "what", "offset"),
    [
        (b'{"a":1,"a":2}', "twice", 0),
        (b'{"b":{"a":1,"a":1}}', "twice", 0),
        (b'{"b":1,"a":2}', "canonical", 2),
        (b'{"a": 1}', "canonical", 5),
        (b'{"a":1}\r', "canonical", 7),
        (b'{"a":"\\u0041"}', "canonical", 6),
        (b'{"a":1.0}', "integer", 0),
        (b'{"a":1e3}', "integer", 0),
        (b'{"a":NaN}', "integer", 0),
        (b'{"a":-0}', "canonical", 5),
        (b'{"a":9007199254740992}', "2^53", 0),
        (b'{"a":' + b"9" * 5000 + b"}", "2^53", 0),
        ('{"é":1}'.encode(), "ASCII", 0),
        (b'{"a":"\xff"}', "UTF-8", 6),
        (b'{"a":"\\ud800"}', "canonical", 6),
        (b"[1]", "object", 0),
        (b"", "JSON", 0),
        (b'{"a":1', "JSON", 6),
        (b"[" * 60_000, "nested", 0),
        (b"x" * 65_536, "long", 65_535),
    ],
)
def test_lines_that_are_not_canonical(line, what, offset):
    with pytest.raises(Flaw) as caught:
        read_line(line)
    assert what in caught.value.what
    assert offset == caught.value.offset


@settings(max_examples=100, deadline=None)
@given(records, records)
def test_a_shared_part_is_encoded_like_any_object(part, rest):
    whole = {**rest, "part": part}
    assert encode(whole) == encode({**rest, "part": Part(part)}) == encode_fitting({**rest, "part": shared(part)})
    assert encode({"a": [part]}) == encode({"a": [Part(part)]})
    assert Part(part) == part


def test_a_shared_part_is_checked_and_does_not_change():
    for fields in ({"a": 1.0}, {"é": 1}, {"a": "\ud800"}, {1: "a"}, {"a": b""}):
        with pytest.raises(Unencodable):
            Part(fields)
        with pytest.raises(Unencodable):
            encode({"part": shared(fields)})
    part = Part({"a": 1})
    for change in (lambda: part.update(b=1), lambda: part.__setitem__("a", 2), part.clear, lambda: part.pop("a")):
        with pytest.raises(TypeError):
            change()
