"""The copy kernel on what real servers send: what it writes is what the server itself writes for the masked rows, and can be loaded."""

from __future__ import annotations

import random
from collections.abc import Sequence

import psycopg
import pytest
from psycopg import sql
from tests.model.copy_rows import copy_data, payloads
from tests.model.value_masks import masked

from querywarden.masking.key import MaskingKey
from querywarden.masking.operators import Operator
from querywarden.masking.plan import ColumnMask
from querywarden.model.catalogue import DataClass
from querywarden.model.data_flow import FlowKind, OutputFlow, ValueFlow
from querywarden.postgresql.analysis import analyse
from querywarden.postgresql.copy_masks import copy_masker
from querywarden.postgresql.value_masks import cell_mask

KEY = MaskingKey(bytes(range(32)))
COLUMNS = {
    "id": "int", "plain": "text", "email": "text", "phone": "varchar(20)", "code": "char(6)", "name": "text", "note": "text",
    "card": "text", "born": "date", "seen": "timestamptz", "since": "timestamp", "score": "numeric", "number": "int", "big": "bigint",
    "small": "smallint", "key": "uuid", "address": "inet", "hardware": "macaddr", "doc": "jsonb", "raw": "bytea", "tags": "text[]",
    "flag": "boolean", "ratio": "float8", "span": "interval", "mood": "point",
}  # fmt: skip
MASKS = {
    "email": Operator.EMAIL, "phone": Operator.PHONE, "code": Operator.SHAPE, "name": Operator.NAME, "note": Operator.SHAPE,
    "card": Operator.CARD, "born": Operator.YEAR, "seen": Operator.YEAR, "since": Operator.YEAR, "score": Operator.SHAPE,
    "number": Operator.SHAPE, "big": Operator.SHAPE, "small": Operator.REDACT, "key": Operator.SHAPE, "address": Operator.NETWORK,
    "hardware": Operator.HARDWARE, "doc": Operator.REDACT, "raw": Operator.REDACT, "tags": Operator.SHAPE, "flag": Operator.REDACT,
    "ratio": Operator.REDACT, "span": Operator.REDACT, "mood": Operator.NULL,
}  # fmt: skip
FORMS = [
    "", "(FORMAT csv)", "(FORMAT binary)", "(DELIMITER '|', NULL '')", "(DELIMITER 'N', NULL E'\\\\-')", "(NULL 'null', DELIMITER E'\\b')",
    "(FORMAT csv, HEADER, QUOTE '''', ESCAPE E'\\\\')", "(FORMAT csv, DELIMITER ';', NULL 'NULL', FORCE_QUOTE *)",
    "(FORMAT csv, DELIMITER 'a', FORCE_QUOTE (email, note), NULL E'\\\\N')", "(FORMAT csv, ESCAPE ',')", "CSV HEADER",
]  # fmt: skip
PIECES = [
    "a",
    "B",
    "7",
    " ",
    "ł",
    "王",
    "🙈",
    '"',
    "'",
    "\\",
    ",",
    ";",
    "|",
    "\t",
    "\n",
    "\r",
    "\b",
    "\x0b",
    "\x01",
    "N",
    "\\N",
    "\\.",
    "null",
    "@x.org",
]


def text(draw: random.Random, size: int) -> str | None:
    if draw.random() < 0.15:
        return None
    return "".join(draw.choice(PIECES) for _ in range(draw.randrange(size)))


def row(draw: random.Random, number: int) -> list[object]:
    """A row of all columns, as texts that the server reads."""

    def some(*choices: object) -> object:
        return None if draw.random() < 0.1 else draw.choice(choices)

    return [
        number, text(draw, 12), text(draw, 12), text(draw, 6), some("ab1", "", "x,y\\"), text(draw, 12), text(draw, 30),
        "4111 1111-1111 1111",
        some("1987-04-23", "0044-03-15 BC", "infinity"), some("1987-04-23 10:00:00.5+02", "2024-02-29 00:00:00Z"),
        some("1999-12-31 23:59:59.999999"),
        some("-12345.678", "0", "0.05", "NaN"), some(-5, 2147483647, 170), some(9223372036854775807, 12), some(-3, 0),
        some("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), some("10.1.2.3/25", "fe80::1:2", "192.168.1.7"), some("08:00:2b:01:02:03"),
        some('{"a": "b,\\n"}', "[1]", '"x\\"y"', "null", "true", "12"), some("\\xdeadbeef00", "\\x"),
        some('{a,"b c",NULL,"q\\"\\\\"}', "{}", '{"a,b"}'),
        some(True, False), some(1.5, "NaN"), some("1 day 02:03:04"), some("(1,2)"),
    ]  # fmt: skip


@pytest.fixture
def database(server):
    with psycopg.connect(host="127.0.0.1", port=server.port, user="postgres", password=server.password, autocommit=True) as connection:
        columns = ", ".join(f'"{name}" {type_name}' for name, type_name in COLUMNS.items())
        connection.execute(f"CREATE TEMP TABLE source ({columns})")
        connection.execute("CREATE TEMP TABLE target (LIKE source)")
        yield connection


def fill(connection, rows: Sequence[Sequence[object]]) -> None:
    slots = ", ".join(f"%s::{type_name}" for type_name in COLUMNS.values())
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO source VALUES ({slots})", [[None if v is None else str(v) for v in each] for each in rows])


def copied(connection, statement: str) -> list[bytes]:
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        return [bytes(block) for block in copy]


def raw(connection, table: str, code: int):
    """The cells of a table as the server sends them, and its result."""
    result = connection.pgconn.exec_params(f"SELECT * FROM {table} ORDER BY id".encode(), [], result_format=code)
    assert result.error_message == b""
    return [[result.get_value(r, c) for c in range(result.nfields)] for r in range(result.ntuples)], result


def plan_of(result, masks):
    outputs = [
        OutputFlow(result.fname(c).decode(), ValueFlow(FlowKind.DIRECT), result.ftype(c), result.fmod(c)) for c in range(result.nfields)
    ]
    plan = [ColumnMask(DataClass.EMAIL, masks[output.name], False) if output.name in masks else None for output in outputs]
    return outputs, plan


def masked_copy(connection, statement: str, outputs, plan, size: int) -> list[bytes]:
    (facts,) = analyse(statement.encode())
    assert facts.copy is not None
    assert facts.copy.is_rewritable
    masker = copy_masker(facts.copy, outputs, plan, KEY)
    assert masker is not None
    stream = b"".join(map(copy_data, copied(connection, statement)))
    out = b"".join(masker.feed(stream, at, min(at + size, len(stream)))[0] for at in range(0, len(stream), size))
    masker.end()
    return payloads(out)


@pytest.mark.parametrize("options", FORMS)
def test_masked_copy_is_what_the_server_writes_for_the_masked_rows(database, options):
    draw = random.Random(options)
    fill(database, [row(draw, number) for number in range(80)])
    cells, result = raw(database, "source", code := int("binary" in options))
    outputs, plan = plan_of(result, MASKS)
    out = masked_copy(
        database, f"COPY (SELECT * FROM source ORDER BY id) TO STDOUT {options}", outputs, plan, draw.choice([1, 64, 1000, 1 << 16])
    )
    with database.cursor() as cursor, cursor.copy(sql.SQL("COPY target FROM STDIN " + without_forced(options))) as copy:
        for piece in out:
            copy.write(piece)
    assert copied(database, f"COPY (SELECT * FROM target ORDER BY id) TO STDOUT {options}") == out
    # As the rows of a SELECT are masked; a value that is written as NULL is becomes one.
    nulls = {"(DELIMITER '|', NULL '')": b"", "(NULL 'null', DELIMITER E'\\b')": b"null"}
    null = nulls.get(options)
    assert without(null, [mask_row(outputs, plan, code, each) for each in without(null, cells)]) == without(
        None, raw(database, "target", code)[0]
    )


def without(null: bytes | None, rows: Sequence[Sequence[bytes | None]]) -> list[list[bytes | None]]:
    return [[None if value == null else value for value in each] for each in rows]


def mask_row(outputs, plan, code: int, values: Sequence[bytes | None]) -> list[bytes | None]:
    """The row as the oracle of the row kernel masks it."""
    return [
        value if mask is None or not value else masked(cell_mask(output.type_id, output.type_modifier, code, mask, KEY), value)
        for output, mask, value in zip(outputs, plan, values, strict=True)
    ]


def without_forced(options: str) -> str:
    """The same options for COPY FROM, which has none for quoting."""
    return options.replace(", FORCE_QUOTE *", "").replace(", FORCE_QUOTE (email, note)", "")


@pytest.mark.parametrize("options", ["", "(FORMAT csv)", "(FORMAT csv, HEADER)", "(FORMAT binary)"])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_one_column_alone(database, options, count):
    fill(database, [[number, "x", ["\\.", "", None][number % 3], *[None] * (len(COLUMNS) - 3)] for number in range(count)])
    result = database.pgconn.exec_(b"SELECT email FROM source")
    outputs, plan = plan_of(result, MASKS)
    out = masked_copy(database, f"COPY (SELECT email FROM source ORDER BY id) TO STDOUT {options}", outputs, plan, 1 << 16)
    with database.cursor() as cursor, cursor.copy(sql.SQL(f"COPY target (email) FROM STDIN {options}")) as copy:
        for piece in out:
            copy.write(piece)
    assert copied(database, f"COPY target (email) TO STDOUT {options}") == out
    kinds = [value and value.partition("@")[2] for (value,) in database.execute("SELECT email FROM target").fetchall()]
    assert [["example.com", "", None][number % 3] for number in range(count)] == kinds
