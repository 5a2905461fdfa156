"""SQLAlchemy does its ordinary work over both drivers: creating tables, the ORM, reflection."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest
from sqlalchemy import URL, ForeignKey, Integer, MetaData, Numeric, Text, create_engine, func, inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload


class Model(DeclarativeBase):
    pass


class Shelf(Model):
    __tablename__ = "shelves"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    label: Mapped[str] = mapped_column(Text, unique=True)
    parts: Mapped[list[Part]] = relationship(back_populates="shelf", order_by="Part.id")


class Part(Model):
    __tablename__ = "parts"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelves.id"), index=True)
    label: Mapped[str] = mapped_column(Text)
    weight: Mapped[Decimal] = mapped_column(Numeric(8, 2))
    made: Mapped[datetime.date | None]
    shelf: Mapped[Shelf] = relationship(back_populates="parts")


def _url(endpoint, driver, **query):
    return URL.create(
        f"postgresql+{driver}", endpoint.user, endpoint.password, endpoint.host, endpoint.port, endpoint.database, query=query
    )  # fmt: skip


def _psycopg_engine(endpoint):
    tls = {"sslmode": "disable"} if endpoint.authority is None else {"sslmode": "verify-full", "sslrootcert": str(endpoint.authority)}
    return create_engine(_url(endpoint, "psycopg", **tls))


def _shelves():
    def parts(n):
        return [Part(label=f"part {n}.{m}", weight=Decimal(m) / 4, made=datetime.date(2024, 1, m)) for m in (1, 2, 3)]

    return [Shelf(label=f"shelf {n}", parts=parts(n)) for n in range(20)]


def test_orm_over_psycopg(expect_both):
    def scenario(endpoint):
        engine = _psycopg_engine(endpoint)
        try:
            Model.metadata.create_all(engine)
            with Session(engine) as session:
                session.add_all(_shelves())
                session.commit()
                loaded = session.scalars(select(Shelf).options(selectinload(Shelf.parts)).order_by(Shelf.id)).all()
                seen = [(s.label, [(p.label, p.weight, p.made) for p in s.parts]) for s in loaded]
                loaded[0].parts[0].label = "renamed"
                session.delete(loaded[0].parts[2])
                session.commit()
                session.add(Shelf(label="shelf 1"))
                with pytest.raises(IntegrityError):
                    session.commit()
                session.rollback()
                totals = session.execute(select(func.count(), func.sum(Part.weight)).select_from(Part)).one()
            with engine.begin() as connection:
                Model.metadata.create_all(connection)  # finds that all of it is there
            return seen, tuple(totals)
        finally:
            engine.dispose()

    expect_both(scenario)


def test_reflection_and_dropping(expect_both):
    def scenario(endpoint):
        engine = _psycopg_engine(endpoint)
        try:
            Model.metadata.create_all(engine)
            inspector = inspect(engine)
            reflected = MetaData()
            reflected.reflect(engine)
            found = {
                name: (
                    [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in inspector.get_columns(name)],
                    inspector.get_pk_constraint(name),
                    inspector.get_foreign_keys(name),
                    inspector.get_indexes(name),
                    inspector.get_unique_constraints(name),
                )
                for name in sorted(inspector.get_table_names())
            }
            shape = {table.name: [str(c) for c in table.columns] for table in reflected.sorted_tables}
            Model.metadata.drop_all(engine)
            return str(found), shape, inspect(engine).get_table_names()
        finally:
            engine.dispose()

    expect_both(scenario)


async def test_orm_over_asyncpg(expect_both_async):
    async def scenario(endpoint):
        engine = create_async_engine(_url(endpoint, "asyncpg"), connect_args={"ssl": endpoint.asyncpg()["ssl"]})
        try:
            async with engine.begin() as connection:
                await connection.run_sync(Model.metadata.create_all)
            async with AsyncSession(engine) as session:
                session.add_all(_shelves())
                await session.commit()
                loaded = (await session.scalars(select(Shelf).options(selectinload(Shelf.parts)).order_by(Shelf.id))).all()
                seen = [(s.label, [(p.label, p.weight, p.made) for p in s.parts]) for s in loaded]
                part = (await session.scalars(select(Part).order_by(Part.id).limit(1))).one()
                part.weight = Decimal("9.75")
                await session.commit()
                await session.refresh(part)
                return seen, part.weight
        finally:
            await engine.dispose()

    await expect_both_async(scenario)
