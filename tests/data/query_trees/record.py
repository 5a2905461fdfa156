"""Records what real servers print of the statements, and with --flows writes down the data flows that are read from that, to be looked at.

PYTHONPATH=src:. python tests/data/query_trees/record.py 15 18 [--flows]
"""

from __future__ import annotations

import gzip
import json
import sys

import psycopg
from tests.unit.postgresql.analysis.query_trees import DATA, FLOWS, Asking, catalogue_of, cut, described, recorded, statements

from querywarden.demo.installations import installations
from querywarden.demo.servers import PostgresServer
from querywarden.postgresql.analysis.query_tree import data_flow_of


def record(major: int) -> None:
    """Record what one server prints."""
    server = PostgresServer(installations()[major]).start()
    try:
        with psycopg.connect(host=str(server.folder), port=server.port, user="postgres", dbname="postgres", autocommit=True) as link:
            link.execute((DATA / "schema.sql").read_text())
            link.execute("CREATE ROLE plain; GRANT ALL ON ALL TABLES IN SCHEMA public TO plain; GRANT ALL ON SEQUENCE counted TO plain")
            asking = Asking(link)
            # A superuser is under no policy.
            link.execute("SET ROLE plain")
            rows = asking.rows()
            trees = {text: asking.tree(text) for text in statements(major)}
            bodies = asking.bodies(catalogue_of(rows))
    finally:
        server.remove()
    kept = cut(rows, [*trees.values(), *bodies.values(), *(row[6] or "" for row in rows["functions"])])
    found = {"catalogue": kept, "bodies": bodies, "trees": trees}
    (DATA / f"trees_{major}.json.gz").write_bytes(gzip.compress(json.dumps(found).encode(), mtime=0))


def write_flows(major: int) -> None:
    """Write down the data flows of all statements, for somebody to look at."""
    trees, bodies, catalogue = recorded(major)
    blocks = ["\n".join([text, *described(data_flow_of([tree], catalogue, bodies), catalogue)]) for text, tree in trees.items()]
    FLOWS.write_text("\n\n".join(blocks) + "\n")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        if argument == "--flows":
            write_flows(18)
        else:
            record(int(argument))
