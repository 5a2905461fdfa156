"""Masked values aren't stored in place of the real ones: by ORMs, drivers and texts of every kind, through the proxy to real servers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid

import asyncpg
import psycopg
import pytest
from sqlalchemy import URL, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.orm.attributes import flag_modified

_TABLE = "people_of_the_tests"
_SETUP = f"""
SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION app; SET ROLE app;
CREATE TABLE {_TABLE} (
    id int PRIMARY KEY, note text, email text, phone text, full_name text, iban text, account_number bigint, device_id uuid,
    phones text[]
);
COMMENT ON COLUMN {_TABLE}.account_number IS 'querywarden: bank_account';
COMMENT ON COLUMN {_TABLE}.device_id IS 'querywarden: device_id';
COMMENT ON COLUMN {_TABLE}.phones IS 'querywarden: phone';
INSERT INTO {_TABLE} VALUES
    (1, 'first', 'ann@corp.test', '+49 151 2345 6789', 'Ann Carpenter', 'DE89370400440532013000', 1234567890123,
     'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{{"+49 151 2345 6790"}}'),
    (2, 'second', 'bob@corp.test', '+49 170 9876 5432', 'Bob Fisherman', 'DE02120300000000202051', 9876543210987,
     'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a22', '{{"+49 151 2345 6791"}}');
"""
_REMEMBERED = ("phone", "full_name", "iban", "account_number", "device_id", "phones")
_COLUMNS = ("email", *_REMEMBERED)


class Model(DeclarativeBase):
    pass


class Person(Model):
    __tablename__ = _TABLE
    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str]
    email: Mapped[str]
    phone: Mapped[str]
    full_name: Mapped[str]


@pytest.fixture
def people(site):
    site.server.sql(_SETUP, "people")
    return site


def stored(site, columns="*", where="true"):
    """What is in the table, behind the proxy's back."""
    with site.direct("people").connect() as connection:
        return connection.execute(f"SELECT {columns} FROM {_TABLE} WHERE {where} ORDER BY id").fetchall()


def shown(connection, columns=", ".join(_COLUMNS), where="id = 1"):
    return connection.execute(f"SELECT {columns} FROM {_TABLE} WHERE {where}").fetchone()


def refused(run, *arguments, **named):
    """Run what must be refused, and give the refusal's text."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        run(*arguments, **named)
    text = str(caught.value)
    assert "would store a masked value in place of the real one" in text, text
    assert "Leave masked columns out" in text
    return text


@pytest.mark.parametrize("column", _COLUMNS)
@pytest.mark.parametrize("way", ["simple", "client", "text", "binary"])
def test_a_mask_of_any_column_is_refused_by_any_way(people, column, way):
    before = stored(people)
    cursors = {"simple": psycopg.ClientCursor, "client": psycopg.ClientCursor}
    with people.through("people").connect(cursor_factory=cursors.get(way, psycopg.Cursor)) as connection:
        (mask,) = shown(connection, column)
        sql = f"UPDATE {_TABLE} SET {column} = %s WHERE id = 2"
        if way == "simple":
            literal = "ARRAY['" + mask[0] + "']" if isinstance(mask, list) else f"'{mask}'"
            refused(connection.execute, sql.replace("%s", literal))
        elif way == "client":
            refused(connection.execute, sql, [mask])
        else:
            refused(connection.execute, sql, [mask], prepare=True, binary=way == "binary")
    assert stored(people) == before


def test_fresh_values_are_stored_and_seen_masked(people):
    fresh = (
        "eve@corp.test",
        "+49 151 5555 4444",
        "Eve Gardener",
        "DE75512108001245126199",
        5550001112223,
        uuid.uuid4(),
        ["+49 151 1 22334455"],
    )
    sets = ", ".join(f"{column} = %s" for column in _COLUMNS)
    with people.through("people").connect() as connection:
        shown(connection)
        for binary in (False, True):
            connection.execute(f"UPDATE {_TABLE} SET {sets} WHERE id = 2", fresh, binary=binary)
            assert stored(people, ", ".join(_COLUMNS), "id = 2") == [fresh]
        assert shown(connection, "email", "id = 2")[0].endswith("@example.com")
        connection.execute(f"UPDATE {_TABLE} SET note = %s WHERE id = 2", ["u_abcdefghij@example.com"])
    assert stored(people, "note", "id = 2") == [("u_abcdefghij@example.com",)]


def test_what_one_session_was_shown_another_of_the_same_principal_cannot_store(people):
    with people.through("people").connect() as reading:
        masks = dict(zip(_REMEMBERED, shown(reading, ", ".join(_REMEMBERED)), strict=True))
    with people.through("people").connect() as writing:
        for column in ("phone", "full_name", "iban"):
            refused(writing.execute, f"UPDATE {_TABLE} SET {column} = %s WHERE id = 2", [masks[column]])
    with people.through("people", "bob").connect() as other:
        # Whoever was never shown it may well mean it.
        other.execute(f"UPDATE {_TABLE} SET phone = %s WHERE id = 2", [masks["phone"]])
        refused(other.execute, f"UPDATE {_TABLE} SET email = %s WHERE id = 2", ["u_abcdefghij@example.com"])
    assert stored(people, "phone", "id = 2") == [(masks["phone"],)]


@pytest.mark.parametrize(
    "template",
    [
        "INSERT INTO {table} (id, phone) VALUES (10, {fresh}), (11, {mask})",
        "INSERT INTO {table} (id, phone) SELECT 10, {mask}",
        "UPDATE {table} t SET phone = v.p FROM (VALUES (2, {fresh}), (1, {mask})) v (i, p) WHERE t.id = v.i",
        "INSERT INTO {table} (id, phone) VALUES (2, {fresh}) ON CONFLICT (id) DO UPDATE SET phone = {mask}",
        "INSERT INTO {table} (id, phone) VALUES (2, {mask}) ON CONFLICT (id) DO UPDATE SET phone = excluded.phone",
        "MERGE INTO {table} t USING (VALUES (2, {mask})) v (i, p) ON t.id = v.i WHEN MATCHED THEN UPDATE SET phone = v.p",
        "WITH w AS (UPDATE {table} SET phone = {mask} WHERE id = 2 RETURNING id) SELECT id FROM w",
        "UPDATE {table} SET phone = lower({mask}) WHERE id = 2",
        "UPDATE {table} SET phone = E'\\x2b' || {mask} WHERE id = 2",
    ],
)
@pytest.mark.parametrize("binding", ["client", "server"])
def test_every_kind_of_write_is_looked_at(people, template, binding):
    before = stored(people)
    factory = psycopg.ClientCursor if binding == "client" else psycopg.Cursor
    with people.through("people").connect(cursor_factory=factory) as connection:
        if "MERGE" in template and connection.info.server_version < 150000:
            pytest.skip("the server has no MERGE")
        (mask,) = shown(connection, "phone")
        values = {"mask": mask, "fresh": "+49 151 1111 2222"}
        sql = template.format(table=_TABLE, mask="%(mask)s::text", fresh="%(fresh)s::text")
        refused(connection.execute, sql, {name: value for name, value in values.items() if f"%({name})s" in sql})
    assert stored(people) == before


def test_prepared_statements_of_sql_are_looked_at_when_they_run(people):
    with people.through("people").connect(cursor_factory=psycopg.ClientCursor) as connection:
        (mask,) = shown(connection, "phone")
        connection.execute(f"PREPARE change(text, int) AS UPDATE {_TABLE} SET phone = $1 WHERE id = $2")
        refused(connection.execute, "EXECUTE change(%s, 2)", [mask])
        connection.execute("EXECUTE change(%s, 2)", ["+49 151 1111 2222"])
        assert stored(people, "phone", "id = 2") == [("+49 151 1111 2222",)]
        refused(connection.execute, f"UPDATE {_TABLE} SET note = 'x' WHERE id = 1; EXECUTE change(%s, 2)", [mask])
    assert stored(people, "note", "id = 1") == [("first",)]


def test_one_statement_is_refused_and_the_same_with_other_values_is_not(people):
    sql = f"UPDATE {_TABLE} SET phone = %s WHERE id = %s"
    with people.through("people").connect() as connection:
        (mask,) = shown(connection, "phone")
        for _ in range(3):
            connection.execute(sql, ["+49 151 1111 2222", 2], prepare=True)
            refused(connection.execute, sql, [mask, 2], prepare=True)
    assert stored(people, "phone", "id = 2") == [("+49 151 1111 2222",)]


def test_large_values_pass_in_pieces_and_are_looked_at(people):
    sql = f"UPDATE {_TABLE} SET note = %s, phone = %s WHERE id = 2"
    with people.through("people").connect() as connection:
        (mask,) = shown(connection, "phone")
        large = "x" * 3_000_000
        connection.execute(sql, [large, "+49 151 1111 2222"])
        assert stored(people, "length(note), phone", "id = 2") == [(3_000_000, "+49 151 1111 2222")]
        refused(connection.execute, sql, [large, mask])
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="can't be looked at"):
            connection.execute(f"UPDATE {_TABLE} SET phones = %s WHERE id = 2", [[f"+49 151 {n}" for n in range(200_000)]])
    assert stored(people, "phone", "id = 2") == [("+49 151 1111 2222",)]


def test_sqlalchemy_that_saves_a_loaded_row_whole_is_refused_and_with_changed_columns_it_works(people):
    endpoint = people.through("people")
    url = URL.create(
        "postgresql+psycopg", endpoint.user, endpoint.password, endpoint.host, endpoint.port, endpoint.database,
        query={"sslmode": "verify-full", "sslrootcert": str(endpoint.authority)},
    )  # fmt: skip
    engine = create_engine(url)
    with Session(engine) as session:
        person = session.get(Person, 1)
        for name in ("note", "email", "phone", "full_name"):
            flag_modified(person, name)
        with pytest.raises(Exception, match="would store a masked value") as caught:
            session.commit()
        assert "42501" == caught.value.orig.sqlstate
    with Session(engine) as session:
        person = session.get(Person, 1)
        person.note = "changed"
        session.commit()
    engine.dispose()
    assert stored(people, "note, email, phone, full_name", "id = 1") == [("changed", "ann@corp.test", "+49 151 2345 6789", "Ann Carpenter")]


_DJANGO = f"""
import sys
import django
from django.conf import settings
host, port, user, password, authority = sys.argv[1:]
settings.configure(DATABASES={{"default": {{
    "ENGINE": "django.db.backends.postgresql", "HOST": host, "PORT": port, "USER": user, "PASSWORD": password, "NAME": "people",
    "OPTIONS": {{"sslmode": "verify-full", "sslrootcert": authority}},
}}}}, USE_TZ=False)
django.setup()
from django.db import ProgrammingError, models
class Person(models.Model):
    id = models.IntegerField(primary_key=True)
    note, email, phone, full_name = (models.TextField() for _ in range(4))
    class Meta:
        app_label, db_table = "tests", "{_TABLE}"
person = Person.objects.get(id=1)
person.note = "changed"
try:
    person.save()
    print("SAVED")
except ProgrammingError as error:
    print("REFUSED", error)
person.save(update_fields=["note"])
print("DONE")
"""


def test_django_save_is_refused_and_works_with_update_fields(people, tmp_path):

    endpoint = people.through("people")
    script = tmp_path / "save.py"
    script.write_text(_DJANGO)
    arguments = [endpoint.host, str(endpoint.port), endpoint.user, endpoint.password, str(endpoint.authority)]
    done = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert 0 == done.returncode, done.stderr
    assert "REFUSED" in done.stdout
    assert "would store a masked value in place of the real one" in done.stdout
    assert done.stdout.endswith("DONE\n")
    assert stored(people, "note, email, phone, full_name", "id = 1") == [("changed", "ann@corp.test", "+49 151 2345 6789", "Ann Carpenter")]


def test_asyncpg_with_its_binary_values_is_refused(people):
    async def run():
        connection = await asyncpg.connect(**people.through("people").asyncpg())
        try:
            row = await connection.fetchrow(f"SELECT {', '.join(_COLUMNS)} FROM {_TABLE} WHERE id = 1")
            for column in _COLUMNS:
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="would store a masked value"):
                    await connection.execute(f"UPDATE {_TABLE} SET {column} = $1 WHERE id = 2", row[column])
            await connection.execute(f"UPDATE {_TABLE} SET account_number = $1 WHERE id = 2", 5550001112223)
            many = f"INSERT INTO {_TABLE} (id, phone) VALUES ($1, $2)"
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.executemany(many, [(20, "+49 151 1111 2222"), (21, row["phone"])])
            await connection.executemany(many, [(30, "+49 151 1111 2222"), (31, "+49 151 1111 3333")])
        finally:
            await connection.close()

    before = stored(people, where="id = 1")
    asyncio.run(run())
    assert stored(people, where="id = 1") == before
    assert stored(people, "account_number", "id = 2") == [(5550001112223,)]
    assert [30, 31] == [row[0] for row in stored(people, "id", "id >= 20")]


def test_many_rows_in_one_insert_stay_quick_and_one_mask_among_them_is_found(people):
    fresh = ", ".join(f"({n}, 'person{n}@corp.test', '+49 151 {n:08d}', 'Person {n} of many')" for n in range(100, 3_100))
    sql = f"INSERT INTO {_TABLE} (id, email, phone, full_name) VALUES {fresh}"
    with people.through("people").connect() as connection:
        (mask,) = shown(connection, "full_name")
        refused(connection.execute, f"{sql}, (4000, 'last@corp.test', '+49 151 1111 2222', '{mask}')")
        connection.execute(sql)
    assert [(3_000,)] == stored(people, "count(*) OVER ()", "id >= 100")[:1]
