"""No value of a classified column leaves, by whatever carrier: every answer's bytes are searched for the canaries."""

from __future__ import annotations

import json

import asyncpg
import psycopg
import pytest

CANARIES = {
    "email": "canary.mail.7391@postbox.example",
    "phone": "+49 30 5557391842",
    "first_name": "Quillfeather",
    "last_name": "Zandersson",
    "street": "7391 Canary Wharfside",
    "card_number": "4556737586899855",
    "iban": "DE89370400440532013000",
    "date_of_birth": "1971-07-23",
    "password_hash": "$2b$12$canary7391canary7391canaryCANARYcanary7391abcdefghijk",
    "api_key": "sk_live_canary7391Zz81kqP02hF",
}
_SCHEMA = f"""
SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION app; SET ROLE app;
CREATE TABLE customers (
    id int PRIMARY KEY, first_name text, last_name text, email text UNIQUE, phone text, street text, card_number text, iban text,
    date_of_birth date, password_hash text, api_key text, emails text[], loyalty int,
    k text GENERATED ALWAYS AS (lower(email) || phone) STORED, points int GENERATED ALWAYS AS (loyalty * 2) STORED
);
COMMENT ON COLUMN customers.emails IS 'querywarden: email';
INSERT INTO customers (id, loyalty, emails, {", ".join(CANARIES)}) VALUES (1, 4711, ARRAY['{CANARIES["email"]}', NULL],
    {", ".join(f"'{value}'" for value in CANARIES.values())});
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, total numeric, note text);
INSERT INTO orders SELECT n, 1, n * 10, 'note ' || n FROM generate_series(1, 5) n;
CREATE VIEW contacts AS SELECT id, email AS address, upper(phone) AS shouted FROM customers;
"""

_LEAKS = [
    "SELECT * FROM customers",
    "SELECT {all} FROM customers",
    "SELECT k FROM customers",
    "SELECT upper(k) AS points FROM customers",
    "SELECT c FROM customers c",
    "SELECT c.*::text FROM customers c",
    "SELECT to_jsonb(c) FROM customers c",
    "SELECT row_to_json(c) FROM (SELECT email, phone FROM customers) c",
    "SELECT json_agg(customers) FROM customers",
    "SELECT array_agg(email) FROM customers",
    "SELECT string_agg(card_number, ',') FROM customers",
    "SELECT lower(email), upper(email), reverse(email), email || '', md5(email), encode(email::bytea, 'hex') FROM customers",
    "SELECT min(email), max(phone), min(date_of_birth) FROM customers",
    "SELECT substr(card_number, 1, 8), left(iban, 10), right(phone, 6) FROM customers",
    "SELECT address, shouted FROM contacts",
    "SELECT * FROM contacts",
    "WITH w AS (SELECT email AS e FROM customers) SELECT e FROM w",
    "SELECT e FROM (SELECT email AS e FROM customers) AS s",
    "SELECT email FROM customers UNION ALL SELECT note FROM orders",
    "SELECT o.note, (SELECT email FROM customers c WHERE c.id = o.customer_id) FROM orders o",
    "SELECT coalesce(email, 'x'), CASE WHEN true THEN phone END FROM customers",
    "SELECT unnest(emails) FROM customers",
    "SELECT emails, emails[1] FROM customers",
    "SELECT x FROM customers, LATERAL (SELECT email AS x) l",
    "SELECT regexp_split_to_table(email, '@') FROM customers",
    "SELECT query_to_xml('SELECT email FROM customers', true, true, '')",
    "SELECT table_to_xml('customers', true, true, '')",
    "UPDATE customers SET loyalty = 4711 WHERE id = 1 RETURNING *",
    "UPDATE customers SET loyalty = 4711 WHERE id = 1 RETURNING email, phone || ''",
    "INSERT INTO customers (id, email) SELECT 2, email FROM customers WHERE id = 1",
    "INSERT INTO orders SELECT 99, 1, 1, email FROM customers RETURNING note",
    "DELETE FROM orders USING customers c WHERE orders.id = 5 AND c.id = 1 RETURNING c.email",
    "SELECT email::int FROM customers",
    "SELECT ('x' || email)::date FROM customers",
    "SELECT 1 / (length(email) - length(email)), email FROM customers",
    "SELECT most_common_vals::text, histogram_bounds::text FROM pg_stats WHERE tablename = 'customers'",
    "SELECT current_query(), email FROM customers",
    "DECLARE c CURSOR WITH HOLD FOR SELECT email, phone FROM customers",
    "FETCH ALL FROM c",
    "EXPLAIN (ANALYZE, VERBOSE) SELECT email FROM customers WHERE email LIKE 'canary%'",
    "COPY customers TO STDOUT",
    "COPY (SELECT email FROM customers) TO STDOUT",
    "CREATE TABLE copied AS SELECT email AS note FROM customers",
    "SELECT note FROM copied",
    "SELECT pg_notify('c', email) FROM customers",
    "SELECT set_config('application_name', email, false) FROM customers",
    "SELECT set_config('DateStyle', email, false) FROM customers",
    "DO $$ BEGIN RAISE NOTICE '%', (SELECT email FROM customers); END $$",
    "SELECT lo_from_bytea(0, email::bytea) FROM customers",
    "PREPARE p AS SELECT email FROM customers",
    "EXECUTE p",
    "TABLE customers",
    "VALUES ((SELECT email FROM customers LIMIT 1))",
]


@pytest.fixture
def people(site):
    site.server.sql(_SCHEMA, "people")
    return site.through("people")


def _traces(values):
    """Everything in which a canary could hide, as one text: values, error fields, notices."""
    return json.dumps(values, default=_as_text, ensure_ascii=False)


def _as_text(value):
    if isinstance(value, (bytes, bytearray, memoryview)):
        raw = bytes(value)
        return raw.decode("latin-1") + " " + raw.hex()
    return str(value)


def _diagnosis(error):
    diag = error.diag
    names = ("message_primary", "message_detail", "message_hint", "context", "internal_query", "statement_position")
    return [getattr(diag, name) for name in names]


def _assert_no_canary(text, what):
    lowered = text.lower()
    for name, value in CANARIES.items():
        for form in (value, value[::-1], value.encode().hex(), value.replace(" ", "")):
            assert form.lower() not in lowered, f"the {name} left through: {what}"
        if name not in {"date_of_birth", "card_number", "iban"}:
            assert value[4:16].lower() not in lowered, f"a part of the {name} left through: {what}"


def _run_all(connection, binary):
    seen = []
    connection.add_notice_handler(lambda diag: seen.append(("notice", diag.message_primary, diag.message_detail)))
    for template in _LEAKS:
        statement = template.replace("{all}", ", ".join(CANARIES))
        with connection.cursor(binary=binary) as cursor:
            try:
                if statement.startswith("COPY"):
                    with cursor.copy(statement) as copy:
                        answer = [bytes(chunk) for chunk in copy]
                else:
                    cursor.execute(statement)
                    answer = cursor.fetchall() if cursor.description is not None else []
            except psycopg.Error as error:
                answer = _diagnosis(error)
        _assert_no_canary(_traces([answer, seen]), statement)
        for name in ("application_name", "DateStyle"):
            _assert_no_canary(connection.info.parameter_status(name) or "", statement)
    return seen


@pytest.mark.parametrize("binary", [False, True])
def test_no_canary_leaves_in_any_carrier(people, binary):
    with people.connect() as connection:
        _run_all(connection, binary)
        connection.execute("LISTEN c")
        heard = [n.payload for n in connection.notifies(timeout=0.5)]
        _assert_no_canary(_traces(heard), "notification")


async def test_no_canary_leaves_through_asyncpg(people):
    connection = await asyncpg.connect(**people.asyncpg())
    try:
        for template in _LEAKS:
            statement = template.replace("{all}", ", ".join(CANARIES))
            if statement.startswith("COPY"):
                continue
            try:
                answer = [tuple(record.values()) for record in await connection.fetch(statement)]
            except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                answer = [str(error), getattr(error, "detail", None), getattr(error, "hint", None)]
            _assert_no_canary(_traces(answer), statement)
    finally:
        await connection.close()


def test_masked_rows_keep_their_shape(people, site):
    """Rows, columns, types, NULLs and unclassified columns are as they were: masking that loses rows would be of no use."""
    names = ["id", "email", "phone", "date_of_birth", "emails", "loyalty"]
    query = f"SELECT {', '.join(names)} FROM customers ORDER BY id"
    with site.direct("people").connect() as direct, people.connect() as through:
        expected, actual = direct.execute(query), through.execute(query)
        assert [(c.name, c.type_code) for c in expected.description] == [(c.name, c.type_code) for c in actual.description]
        (plain,), (masked,) = expected.fetchall(), actual.fetchall()
    assert [type(v) for v in plain] == [type(v) for v in masked]
    assert (plain[0], plain[-1]) == (masked[0], masked[-1])
    assert masked[1] not in {None, ""}
    assert len(plain[4]) == len(masked[4])
    assert masked[4][1] is None


def test_equal_values_stay_equal_and_joins_work(people):
    with people.connect() as connection:
        first, again = (connection.execute("SELECT email FROM customers").fetchone() for _ in range(2))
        assert first == again
        row = connection.execute("SELECT count(*), sum(o.total) FROM orders o JOIN customers c ON c.id = o.customer_id").fetchone()
        assert row == (5, 150)
        assert connection.execute("SELECT count(*) FROM customers WHERE email = %s", [CANARIES["email"]]).fetchone() == (1,)


def test_constraint_errors_hold_no_values(people):
    with people.connect() as connection, pytest.raises(psycopg.errors.UniqueViolation) as violation:
        connection.execute("INSERT INTO customers (id, email) SELECT 3, %s", [CANARIES["email"]])
    assert violation.value.sqlstate == "23505"
    _assert_no_canary(_traces(_diagnosis(violation.value)), "unique violation")


_COPIED = (
    "customers",
    "customers (id, email, loyalty)",
    "(SELECT loyalty, upper(email), email, emails FROM customers)",
    "(TABLE contacts)",
)


@pytest.mark.parametrize("what", _COPIED)
@pytest.mark.parametrize(
    "form", ["", "(FORMAT csv, HEADER)", "(FORMAT csv, FORCE_QUOTE *, DELIMITER ';')", "(FORMAT binary)", "WITH DELIMITER '|' NULL ''"]
)
def test_copy_out_of_classified_relations_is_masked(people, what, form):
    with people.connect() as connection:
        with connection.cursor().copy(f"COPY {what} TO STDOUT {form}") as copy:
            data = b"".join(bytes(chunk) for chunk in copy)
        _assert_no_canary(_traces([data]), f"COPY {what} {form}")
        assert b"@example.com" in data
        assert ((4711).to_bytes(4, "big") if "binary" in form else b"4711") in data or "contacts" in what
        with connection.cursor().copy("COPY orders TO STDOUT") as copy:
            assert b"note 5" in b"".join(bytes(chunk) for chunk in copy)


@pytest.mark.parametrize("form", ["(ENCODING 'LATIN1')", "(NULL 'alice@postbox.example')"])
def test_a_form_of_copy_that_cannot_be_masked_is_refused_and_the_session_goes_on(people, form):
    with people.connect() as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.cursor().copy(f"COPY customers TO STDOUT {form}") as copy:
            copy.read()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_new_column_is_masked_at_once_even_when_it_was_made_behind_the_proxys_back(people, site):
    with people.connect() as connection:
        connection.execute("SELECT id FROM customers")
        site.server.sql("ALTER TABLE orders ADD COLUMN contact_email text DEFAULT 'canary.mail.7391@postbox.example'", "people")
        site.server.sql("CREATE TABLE fresh_contacts AS SELECT id, email FROM customers; GRANT SELECT ON fresh_contacts TO app", "people")
        fresh = connection.execute("SELECT * FROM fresh_contacts").fetchall()
        added = connection.execute("SELECT contact_email FROM orders").fetchall()
        _assert_no_canary(_traces([fresh, added]), "a relation or column made behind the proxy's back")
