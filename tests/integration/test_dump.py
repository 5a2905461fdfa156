"""pg_dump of a database without classified columns, through the proxy, is byte for byte the dump without it."""

from __future__ import annotations

import subprocess

import pytest

from querywarden.demo.installations import installations

_SCHEMA = """
CREATE TYPE mood AS ENUM ('calm', 'busy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE parts (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, label text NOT NULL, state mood, weight numeric(8, 2), shape jsonb,
    sizes int[], raw bytea, made timestamptz DEFAULT '2020-01-01Z', quantity positive);
CREATE TABLE bins (id int PRIMARY KEY, part_id int REFERENCES parts, shelf text COLLATE "C");
CREATE UNIQUE INDEX bins_shelf ON bins (lower(shelf)) WHERE part_id IS NOT NULL;
CREATE VIEW full_bins AS SELECT b.id, p.label FROM bins b JOIN parts p ON p.id = b.part_id;
CREATE MATERIALIZED VIEW bin_counts AS SELECT part_id, count(*) AS n FROM bins GROUP BY part_id;
CREATE FUNCTION double(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 2';
CREATE TABLE events (at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE events_2020 PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
COMMENT ON COLUMN parts.label IS 'What it says on the box';
INSERT INTO parts (label, state, weight, shape, sizes, raw, quantity)
    SELECT E'part\\t' || n || E'\\nline', 'calm', n * 1.25, jsonb_build_object('n', n), ARRAY[n, n + 1],
        decode('00ff' || lpad(to_hex(n), 4, '0'), 'hex'), n
    FROM generate_series(1, 3000) n;
INSERT INTO bins SELECT n, n, 'shelf ' || n FROM generate_series(1, 500) n;
INSERT INTO events VALUES ('2020-05-05', 'opened');
REFRESH MATERIALIZED VIEW bin_counts;
"""


def _dump(program, endpoint, *arguments):
    return subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, check=False, timeout=120, env=endpoint.environment()
    )  # fmt: skip


@pytest.mark.parametrize("arguments", [(), ("--schema-only",), ("--data-only", "--inserts"), ("--table=bins", "--column-inserts")])
def test_dumps_are_equal(site, arguments):
    # The dump of a version is made with its own pg_dump where it can speak TLS; Debian's serves the others, on plaintext loopback.
    program = installations()[site.server.major].program("pg_dump")
    site.server.sql("SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION app;", "plain")
    site.server.sql("SET ROLE app;" + _SCHEMA, "plain")
    direct = _dump(program, site.direct(), *arguments)
    assert direct.returncode == 0, direct.stderr
    through = _dump(program, site.through(tls=False), *arguments)
    assert through.returncode == 0, through.stderr
    # PostgreSQL's newest minor versions put a random word into \restrict.
    assert _without_restrict(direct.stdout) == _without_restrict(through.stdout)
    assert "3000" in direct.stdout or "--schema-only" in arguments or "--table=bins" in arguments


def _without_restrict(dump):
    return [line for line in dump.splitlines() if not line.startswith((r"\restrict", r"\unrestrict"))]


def test_a_dump_of_classified_data_is_masked(site):
    canary = "canary.dump.7741@postbox.example"
    site.server.sql(
        "SET ROLE app; CREATE TABLE IF NOT EXISTS dumped_customers (id int, email text, note text);"
        f"INSERT INTO dumped_customers VALUES (1, '{canary}', 'kept')",
        "people",
    )
    program = installations()[site.server.major].program("pg_dump")
    for arguments in (("--table=dumped_customers",), ("--table=dumped_customers", "--data-only", "--inserts")):
        through = _dump(program, site.through("people", tls=False), *arguments)
        assert through.returncode == 0, through.stderr
        assert "kept" in through.stdout
        assert "@example.com" in through.stdout
        assert canary not in through.stdout + through.stderr
    site.server.sql("DROP TABLE dumped_customers", "people")
