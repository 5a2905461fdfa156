"""Records what real servers answer to the catalogue queries, for the tests that build catalogues of it.

    PYTHONPATH=src python tests/data/catalogue/record.py 15 18

Of the server's own relations, functions and operators only some are kept.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import psycopg

from querywarden.demo.installations import installations
from querywarden.demo.servers import PostgresServer
from querywarden.postgresql.catalogue_query import CATALOGUE_QUERIES

HERE = Path(__file__).parent
RELATIONS = {"pg_class", "pg_authid", "pg_stats", "pg_stat_activity"}
FUNCTIONS = {"lower", "upper", "texteq", "now", "random", "count", "rank", "_pg_truetypid"}
OPERATORS = {"=", "<", "||", "~~"}
EXTENSIONS = ("pgcrypto", "citext", "dblink")


def record(major: int) -> None:
    """Record the answers of one server."""
    server = PostgresServer(installations()[major]).start()
    try:
        with psycopg.connect(host=str(server.folder), port=server.port, user="postgres", dbname="postgres", autocommit=True) as link:
            available = {row[0] for row in link.execute("SELECT name FROM pg_available_extensions")}
            for extension in EXTENSIONS:
                if extension in available:
                    link.execute(f"CREATE EXTENSION {extension}")
            link.execute((HERE / "catalogue.sql").read_text())
            answers = [_answer(link, query) for query in CATALOGUE_QUERIES]
    finally:
        server.remove()
    (HERE / f"catalogue_{major}.json").write_text(json.dumps(_cut(answers), indent=0) + "\n")


def _answer(link: psycopg.Connection, query: str) -> list[list[str | None]]:
    result = link.pgconn.exec_(query.encode())
    cells = [[result.get_value(row, column) for column in range(result.nfields)] for row in range(result.ntuples)]
    return [[None if cell is None else cell.decode() for cell in row] for row in cells]


def _cut(answers: list[list[list[str | None]]]) -> list[list[list[str | None]]]:
    relations, columns, *others, [[functions, operators]] = answers
    relations = [row for row in relations if int(row[0]) >= 16384 or row[2] in RELATIONS]
    kept = {row[0] for row in relations}
    columns = [row for row in columns if row[0] in kept]
    named = [_lines(functions, FUNCTIONS), _lines(operators, OPERATORS)]
    return [relations, columns, *others, [named]]


def _lines(cell: str, names: set[str]) -> str:
    return "\n".join(line for line in cell.split("\n") if line.rpartition("\t")[2] in names)


if __name__ == "__main__":
    for version in sys.argv[1:]:
        record(int(version))
