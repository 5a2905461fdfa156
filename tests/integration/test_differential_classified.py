"""Differential: what the proxy asks the server about statements on classified columns shows in no message of the session.

The statements return other columns, so that what the server says is to arrive as it was; QUERYWARDEN_SEQUENCES plays more of them.
"""

from __future__ import annotations

import os

import pytest
from tests.model.classified_sequences import RESET, SETUP, sequence
from tests.model.compared_sessions import compare, play
from tests.model.wire_client import WireClient

SEQUENCES = int(os.environ.get("QUERYWARDEN_SEQUENCES", "150"))
FIRST = int(os.environ.get("QUERYWARDEN_SEQUENCES_FROM", "0"))


@pytest.fixture
def people(site):
    site.server.sql(
        "SET client_min_messages = warning; DROP SCHEMA public CASCADE; DROP SCHEMA IF EXISTS other CASCADE;"
        " GRANT CREATE ON DATABASE people TO app;"
        "CREATE SCHEMA public AUTHORIZATION app; SET ROLE app;" + SETUP,
        "people",
    )
    return site


@pytest.mark.parametrize("start", range(FIRST, FIRST + SEQUENCES, 30))
def test_the_servers_messages_are_the_same_direct_and_through_the_proxy(people, start):
    # A user of its own: what one may find out by conditions on masked columns has a budget.
    token = people.token(f"player{start}")
    compared = 0
    for seed in range(start, start + 30):
        answers = []
        for way in (people.direct("people"), people.through("people", token=token, tls=False)):
            people.server.sql("SET client_min_messages = warning; SET ROLE app;" + RESET, "people")
            with WireClient(way) as client:
                answers.append(play(client, sequence(seed), seed))
        compare(seed, sequence(seed), *answers)
        compared += len(answers[0])
    assert compared > 30, "hardly anything was played"
