"""Nobody's tools break: what browsers, dumps, drivers and mapping libraries send is neither refused nor held, and answered as directly.

The database holds classified columns, it counts as production, and no policy file says anything about it.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from sqlalchemy import MetaData, create_engine, func, inspect, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, deferred, mapped_column
from tests.model import carriers, recorded_traffic
from tests.model.recorded_traffic import Recorded
from tests.model.wire_client import WireClient

from querywarden.demo.installations import installations

PSQL_COMMANDS = tuple(
    [
        r"\d",
        r"\d+ customers",
        r"\d orders",
        r"\d+ buyers",
        r"\d+ totals",
        r"\d visits",
        r"\d+ visits_2024",
        r"\d tickets",
        r"\d orders_by_state",
        r"\dS customers",
        r"\sf doubled",
        r"\sf+ stamp",
        r"\sv buyers",
        r"\z customers",
        r"\conninfo",
        r"\encoding",
        r"\l",
    ]
    + [
        f"\\{name}"
        for name in [
            "dn+",
            "df+",
            "du+",
            "dp",
            "dt+",
            "di+",
            "dv+",
            "dm+",
            "ds+",
            "dT+",
            "dD+",
            "dx",
            "dy",
            "dP+",
            "drds",
            "ddp",
            "dd",
            "dC",
            "do",
            "da",
            "db",
            "dc",
            "dL",
            "dO",
            "dF+",
            "dFd",
            "dX",
            "dRp",
            "dE",
        ]
    ]
    + [
        "SELECT id, state FROM orders ORDER BY id\n\\gdesc",
        "\\set ON_ERROR_ROLLBACK on\nBEGIN;\nSELECT 1;\nROLLBACK;",
        "SELECT state, id, total FROM orders\n\\crosstabview",
    ]
)
VARYING = (r"\conninfo", r"\l", r"\db")
"""Commands whose output names the connection or sizes that grow."""


def _make(site) -> None:
    site.server.sql(
        "SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION app; SET ROLE app;"
        + recorded_traffic.SCHEMA,
        "people",
    )


@pytest.fixture(scope="module")
def shop(site):
    """A site whose database has something of everything."""
    _make(site)
    return site


def _ids(site) -> dict[str, str]:
    with site.direct("people").connect() as connection:
        return {name: str(connection.execute(query).fetchone()[0]) for name, query in recorded_traffic.objects().items()}


def _run(client: WireClient, text: str) -> carriers.Answer:
    """A statement alone, and undone, but for those that can't be."""
    if text.startswith("DISCARD"):
        return carriers.text(client, text)
    client.run("BEGIN")
    answer = carriers.text(client, text)
    client.run("ROLLBACK")
    return answer


def _difference(statement: Recorded, direct: carriers.Answer, through: carriers.Answer) -> str | None:
    if direct.sqlstate != through.sqlstate:
        return f"{direct.sqlstate or 'fine'} became {through.sqlstate} {through.message}"
    if statement.varies:
        return None if bool(direct.rows) == bool(through.rows) else f"{len(direct.rows)} rows became {len(through.rows)}"
    if sorted(direct.rows, key=repr) == sorted(through.rows, key=repr):
        return None
    changed = next((pair for pair in zip(direct.rows, through.rows, strict=False) if pair[0] != pair[1]), "rows")
    return f"{len(direct.rows)} rows became {len(through.rows)}, the first that differ: {changed}"


@pytest.mark.parametrize("tool", recorded_traffic.tools())
def test_recorded_statements(shop, tool: str) -> None:
    ids, found, ran = _ids(shop), [], 0
    with WireClient(shop.direct("people")) as direct, WireClient(shop.through("shop", tls=False)) as through:
        for statement in recorded_traffic.recorded(tool):
            if shop.server.major not in statement.versions:
                continue
            text = statement.with_objects(ids)
            expected, actual = _run(direct, text), _run(through, text)
            difference = _difference(statement, expected, actual)
            ran += not expected.is_error
            if difference is not None:
                found.append(f"{statement.origin}: {difference}: {text[:300]}")
    print(f"{tool}: {ran} statements ran, {len(found)} differ", *found, sep="\n")
    assert ran > 25
    assert [] == found


def test_psql_commands(shop, psql, run_psql) -> None:
    different = []
    script = "\n".join(f"\\echo ---- {number}\n{command}" for number, command in enumerate(PSQL_COMMANDS))
    outputs = [_outputs(run_psql(psql, way, script, "-v", "VERBOSITY=verbose")) for way in
               (shop.direct("people"), shop.through("shop", tls=False))]  # fmt: skip
    for number, command in enumerate(PSQL_COMMANDS):
        direct, through = (output.get(number, "nothing") for output in outputs)
        if direct != through and command not in VARYING:
            different.append((command, direct[:300], through[:300]))
    assert [] == different


def _outputs(done: subprocess.CompletedProcess[str]) -> dict[int, str]:
    assert "---- 0" in done.stdout, done.stderr
    parts = [part.split("\n", 1) for part in done.stdout.split("---- ")[1:]]
    found = {int(number): text for number, text in parts}
    found[-1] = done.stderr
    return found


@pytest.mark.parametrize(
    "arguments", [("--schema-only",), ("--schema-only", "--table=customers"), ("--schema-only", "--no-owner", "--clean", "--if-exists")]
)
def test_a_dump_of_the_schema(shop, arguments) -> None:
    program = installations()[shop.server.major].program("pg_dump")
    dumps = []
    for way in (shop.direct("people"), shop.through("shop", tls=False)):
        done = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False, timeout=120, env=way.environment())
        assert 0 == done.returncode, done.stderr
        dumps.append([line for line in done.stdout.splitlines() if not line.startswith((r"\restrict", r"\unrestrict"))])
    assert dumps[0] == dumps[1]
    assert any("CREATE TABLE public.customers" in line for line in dumps[1])


class Base(DeclarativeBase):
    """The tables of the shop."""


class Customer(Base):
    """A buyer; what is classified is loaded only when it is asked for."""

    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = deferred(mapped_column())
    last_name: Mapped[str | None] = deferred(mapped_column())
    loyalty: Mapped[int] = mapped_column(default=0)


@pytest.mark.filterwarnings("ignore:Did not recognize type")
def test_sqlalchemy_reflects_and_saves(shop) -> None:
    def reflect(endpoint):
        engine = create_engine("postgresql+psycopg://", creator=lambda: endpoint.connect(autocommit=False))
        inspector, metadata = inspect(engine), MetaData()
        metadata.reflect(engine, views=True)
        names = sorted(inspector.get_table_names())
        found = {name: [str(getattr(inspector, f"get_{what}")(name)) for what in
                        ("columns", "pk_constraint", "foreign_keys", "indexes", "unique_constraints", "check_constraints", "table_comment")]
                 for name in names}  # fmt: skip
        every = [str(inspector.get_multi_columns()), str(inspector.get_view_names()), str(inspector.get_materialized_view_names()),
                 str(inspector.get_enums()), str(inspector.get_domains()), str(inspector.get_sequence_names()),
                 str(inspector.get_schema_names()),
                 inspector.get_view_definition("buyers")]  # fmt: skip
        engine.dispose()
        return found, every, sorted(metadata.tables)

    assert reflect(shop.direct("people")) == reflect(shop.through("shop"))
    engine = create_engine("postgresql+psycopg://", creator=lambda: shop.through("shop").connect(autocommit=False))
    with Session(engine) as session:
        customer = Customer(id=900, email="fresh@postbox.example", last_name="Neu")
        session.add(customer)
        session.commit()
        customer.loyalty += 5
        customer.last_name = "Neuer"
        session.commit()
        assert 5 == session.scalar(select(Customer.loyalty).where(Customer.email == "fresh@postbox.example"))
        assert 1 == session.scalar(select(func.count()).select_from(Customer).where(Customer.id >= 900))
        session.delete(customer)
        session.commit()
    engine.dispose()


DJANGO_MODELS = """
from django.db import models


class Customer(models.Model):
    email = models.TextField(unique=True)
    last_name = models.TextField(null=True)
    loyalty = models.IntegerField(default=0)

    class Meta:
        db_table = "customers"
        managed = False
"""

DJANGO = """
import io
import sys
import django
from django.conf import settings

host, port, database, user, password, mode = sys.argv[1:]
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "HOST": host, "PORT": port, "NAME": database, "USER": user,
        "PASSWORD": password, "OPTIONS": {"sslmode": "disable"}}},
    INSTALLED_APPS=["shop"], USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
django.setup()
from django.core.management import call_command
from django.db import connection, models
from shop.models import Customer

out = io.StringIO()
call_command("inspectdb", "--include-views", "--include-partitions", stdout=out)
print(out.getvalue())
with connection.cursor() as cursor:
    print(sorted(connection.introspection.get_constraints(cursor, "orders").items()))
    print(connection.introspection.get_sequences(cursor, "orders"))
print(connection.introspection.django_table_names(only_existing=True))
customer = Customer.objects.create(email="django@postbox.example", last_name="Neu")
Customer.objects.filter(pk=customer.pk).update(loyalty=models.F("loyalty") + 2)
kept = Customer.objects.defer("email", "last_name").get(pk=customer.pk)
kept.loyalty += 1
kept.save()
kept.save(update_fields=["loyalty"])
print(Customer.objects.filter(email="django@postbox.example").values_list("loyalty", flat=True)[0])
print(Customer.objects.order_by("-id").only("id", "loyalty")[:3].count(), Customer.objects.filter(email__in=["a", "b"]).exists())
print(list(Customer.objects.values("loyalty").annotate(models.Count("id")).order_by("loyalty")))
Customer.objects.filter(pk=customer.pk).delete()
"""


def test_django_inspects_and_saves(shop, tmp_path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "shop" / "models.py").write_text(DJANGO_MODELS)
    outputs = []
    for way in (shop.direct("people"), shop.through("shop", tls=False)):
        _make(shop)
        arguments = [way.host, str(way.port), way.database, way.user, way.password, "direct"]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(DJANGO), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=tmp_path,
        )
        assert 0 == done.returncode, done.stderr[-2000:]
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert "class Customers(models.Model)" in outputs[1]
