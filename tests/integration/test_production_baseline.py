"""The built-in rules alone, on a production database: what is ordinary there needs nobody, and what destroys is refused or waits."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import psycopg
import pytest
from sqlalchemy import ForeignKey, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from querywarden.demo.installations import installations


class Base(DeclarativeBase):
    """The tables of the shop."""


class Author(Base):
    """Somebody with books."""

    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    books: Mapped[list[Book]] = relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    """Something by somebody."""

    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    title: Mapped[str]
    author: Mapped[Author] = relationship(back_populates="books")


@pytest.fixture
def shop(site):
    site.server.sql(
        "SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION app; SET ROLE app;"
        "CREATE TABLE author (id serial PRIMARY KEY, title text NOT NULL);"
        "CREATE TABLE book (id serial PRIMARY KEY, title text NOT NULL,"
        " author_id int NOT NULL REFERENCES author (id) DEFERRABLE INITIALLY DEFERRED);"
        "CREATE INDEX ON book (author_id);",
        "people",
    )
    return site.through("shop")


def test_sqlalchemy(shop) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: shop.connect(autocommit=False))
    with Session(engine) as session:
        author = Author(title="A", books=[Book(title=f"B{number}") for number in range(5)])
        session.add_all([author, Author(title="C")])
        session.commit()
        author.title = "A2"
        author.books[0].title = "changed"
        session.flush()
        del author.books[-1]
        session.commit()
        assert 4 == session.scalar(select(func.count()).select_from(Book))
        assert ["B1", "B2", "B3", "changed"] == sorted(session.scalars(select(Book.title)))
        session.delete(author)
        session.commit()
        assert 0 == session.scalar(select(func.count()).select_from(Book))
    engine.dispose()


DJANGO_MODELS = """
from django.db import models


class Author(models.Model):
    title = models.TextField()

    class Meta:
        db_table = "author"


class Book(models.Model):
    author = models.ForeignKey(Author, on_delete=models.CASCADE)
    title = models.TextField()

    class Meta:
        db_table = "book"
"""

DJANGO = """
import sys
import django
from django.conf import settings

host, port, database, user, password, authority = sys.argv[1:]
settings.configure(
    DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql", "HOST": host, "PORT": port, "NAME": database, "USER": user, "PASSWORD": password,
        "OPTIONS": {"sslmode": "verify-full", "sslrootcert": authority},
    }},
    INSTALLED_APPS=["shop"], USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
django.setup()
from django.db import connection, models, transaction
from shop.models import Author, Book

author = Author.objects.create(title="A")
Book.objects.bulk_create([Book(author=author, title=f"B{number}") for number in range(20)])
book = Book.objects.filter(title__startswith="B1").order_by("title").first()
book.title = "changed"
book.save()
assert 1 == Book.objects.filter(pk=book.pk).update(title="again")
with transaction.atomic():
    locked = Author.objects.select_for_update().get(pk=author.pk)
    locked.title = "A2"
    locked.save(update_fields=["title"])
Author.objects.update_or_create(pk=author.pk, defaults={"title": "A3"})
assert 20 == author.book_set.count()
Book.objects.filter(pk__in=list(Book.objects.values_list("pk", flat=True)[:3])).delete()
assert 17 == Book.objects.aggregate(models.Count("id"))["id__count"]
print(sorted(connection.introspection.table_names()))
author.delete()
assert not Book.objects.exists()
"""


def test_django(shop, tmp_path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "shop" / "models.py").write_text(DJANGO_MODELS)
    arguments = [shop.host, str(shop.port), shop.database, shop.user, shop.password, str(shop.authority)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(DJANGO), *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        cwd=tmp_path,
    )
    assert 0 == done.returncode, done.stderr[-3000:]
    assert "['author', 'book']" == done.stdout.strip()


def test_psql_looks_around(shop, psql, run_psql) -> None:
    done = run_psql(psql, shop, "\\d\n\\dt+\n\\d book\n\\df\n\\dn+\n\\du\n\\dp\nSELECT count(*) FROM book;\n")
    assert 0 == done.returncode
    assert "" == done.stderr
    assert "book_author_id_idx" in done.stdout


def test_pgbench(site, shop) -> None:
    program = next(each.program("pgbench") for each in installations().values() if each.program("pgbench").exists())
    site.server.sql("SET client_min_messages = warning; GRANT ALL ON SCHEMA public TO app", "people")
    prepared = subprocess.run(
        [str(program), "-i", "-q", "-s", "1"],
        env=site.direct("people").environment(),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert 0 == prepared.returncode, prepared.stderr
    for protocol in ("simple", "extended", "prepared"):
        done = subprocess.run(
            [str(program), "-n", "-c", "2", "-t", "20", "-M", protocol],
            env=shop.environment(), capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        assert 0 == done.returncode, done.stderr
        assert "number of failed transactions: 0" in done.stdout


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE book", "TRUNCATE book", "DELETE FROM book", "UPDATE book SET title = '' WHERE id = id", "DROP SCHEMA public CASCADE",
        "ALTER TABLE book DROP COLUMN title",
    ],
)  # fmt: skip
def test_what_destroys_is_refused(shop, statement: str) -> None:
    with shop.connect(options="-c querywarden.hold=fail") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE book ADD COLUMN note text", "CREATE INDEX ON book (title)", "COPY book TO STDOUT",
        "SELECT * FROM author CROSS JOIN book", "LOCK TABLE book IN ACCESS EXCLUSIVE MODE",
    ],
)  # fmt: skip
def test_what_is_risky_waits(shop, statement: str) -> None:
    with shop.connect(options="-c querywarden.hold=fail", autocommit=False) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="It needs an approval: request"):
            connection.execute(statement)
        connection.rollback()


def test_a_bulk_write_waits_and_a_small_one_does_not(site, shop) -> None:
    site.server.sql("INSERT INTO author (title) SELECT 'x' FROM generate_series(1, 5000); ANALYZE author", "people")
    with shop.connect(options="-c querywarden.hold=fail") as connection:
        assert 10 == connection.execute("UPDATE author SET title = 'y' WHERE id > 4990").rowcount
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="request"):
            connection.execute("UPDATE author SET title = 'y' WHERE id > 100")
