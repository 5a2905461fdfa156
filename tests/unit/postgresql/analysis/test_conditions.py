"""Conditions that name no rows, and conditions that do."""

from __future__ import annotations

import pytest

from querywarden.model.facts import Hazard
from querywarden.postgresql.analysis import analyse

NAMING_NO_ROWS = """
1=1 | 1 = 1 and 2 = 2 | true | 't'::bool | 't' | not false | not (1 = 2) | 'a' = 'a' | 1 < 2 | '1' = 1 | 2 between 1 and 3
id = id | t.id = id | id = t.id | id >= id | id <= id | id is not distinct from id | id between id and id | id::text = id::text
lower(id::text) = lower(id) | id = id + 0 | id + 0 = id | id * 1 = id | id = +id | name || '' = name | id = (select id) | id::bigint = id
id*0 = 0 | id - id = 0 | id % 1 = 0 | 0 * id = 0
id = 5 or 1=1 | id = 5 or true | id = 5 or (name = 'x' or not false) | id = 1 or id <> 1 | id = 1 or not (id = 1)
id is null or id is not null | name is null or name is not null | name like 'x' or name not like 'x' | not (id is null and id is not null)
id < 10 or id > 5 | id < 5 or id >= 5 | 5 > id or id >= 5 | id <= 5 or id > 5 | id <> 1 or id <> 2 | id <> 5 or id >= 5
id <> 5 or id < 6
price = price or price is null | (id = 1) or (id != 1)
coalesce(true, false) | coalesce(null, true) | coalesce(id = id, false) | case when true then true else false end
case when id > 0 then true else true end | nullif(1, 2) = 1 | (id = id) is true | (1 = 1) is not false | (id = id) = true
name like '%' | name ilike '%%' | name ~ '' | name ~ '.*' | name ~* '^' | length(name) >= 0 | abs(id) >= 0 | id * id >= 0
id ^ 2 >= 0 | length(name) > -1
1 in (1) | 1 in (2, 1) | id in (1, id) | id = any(array[id]) | id = any(array[1, id, 2]) | (id = 5) in (true, false)
exists (select 1) | exists (select 1 from users) | exists (select count(*) from users where id = 5)
exists (select 1 from u where u.x = 1)
not exists (select 1 where false) | not exists (select 1 from u limit 0) | id not in (select id from u where false)
id <> all (select id from u where 1 = 2)
id in (select id from t) | id in (select x.id from t x) | t.id in (select id from t)
id in (select id from t where true) | id = any (select id from t) | exists (select 1 from t x where x.id = t.id)
exists (select 1 from t x where x.id = t.id and 1 = 1)
$1 | $1 = 1 | not $1 | $1 is null or id = $1 | now() > '2000-01-01' | current_user = 'x' | random() < 2 | (select true)
(select count(*) from users) > 0 | (select count(*) from users) >= 0 | f() | pg_sleep(1) is null
id is not null | (id = 5) is not null | (id = 5) is not unknown | ctid is not null | tableoid is not null | tableoid = 't'::regclass
coalesce(name, 'x') is not null | array[name] is not null | u.x = 1 | u.x = u.y | 1 = 1 and u.x = 5
"""

NAMING_ROWS = """
id = 1 | id = $1 | t.id = $1 | id in (1, 2) | id = any($1) | id = any(array[1, 2]) | name = 'x' and id = 5 | id = 1 or id = 2
id > 5 | id > 10 or id < 5 | id between 1 and 5 | name like 'x%' | name like '%x' | name ~ '^a' | not deleted | deleted | deleted is true
id = other | t.id = u.id | u.id = t.id and u.x = 5 | name is null | name is not null | lower(name) = 'x' | id % 2 = 0 | id - 1 = 0
id in (select x from u) | id in (select id from t where x = 1) | exists (select 1 from u where u.id = t.id)
exists (select 1 from u where id = x)
not exists (select 1 from u where u.id = t.id) | id = (select max(x) from u) | id <> 1 | id <> 1 or id = 2 | id is null or name = 'x'
coalesce(deleted, false) | case when id > 5 then true else false end | case when deleted then true end | 1=1 and id = 5 | length(name) > 3
false | 1 = 2 | null | not true | id = 5 and false | id <> id | id is null and id is not null | 'f'::bool
exists (select 1 where false) | not exists (select 1)
created_at < now() - interval '90 days' | (a, b) = (1, 2) | id = id + 1 | name || 'x' = name | id * 2 = 0 | id is distinct from $1
exists (select 1 from t x where x.parent = t.id) | id in (select max(id) from t group by name) | id in (select parent from t)
(id = 5) in (true) | (id = 5) = true | name > '' or name < 'b'
"""


def split(table: str) -> list[str]:
    """The conditions of a table."""
    return [condition.strip() for line in table.strip().splitlines() for condition in line.split(" | ")]


def hazards_of(text: str) -> frozenset[Hazard]:
    """The hazards of a text of one statement."""
    analysis = analyse(text.encode())
    assert isinstance(analysis, tuple), (text, analysis)
    return analysis[0].hazards


@pytest.mark.parametrize("condition", split(NAMING_NO_ROWS))
def test_condition_that_names_no_rows_is_tautological(condition: str) -> None:
    assert Hazard.TAUTOLOGICAL in hazards_of(f"delete from t using u where {condition}")
    assert Hazard.TAUTOLOGICAL in hazards_of(f"update t set a = 1 from u where {condition}")
    assert Hazard.TAUTOLOGICAL in hazards_of(f"merge into t using u on {condition} when matched then delete")


@pytest.mark.parametrize("condition", split(NAMING_ROWS))
def test_condition_that_names_rows_is_not_tautological(condition: str) -> None:
    assert Hazard.TAUTOLOGICAL not in hazards_of(f"delete from t using u where {condition}")
    assert Hazard.TAUTOLOGICAL not in hazards_of(f"update t set a = 1 from u where {condition}")
    assert Hazard.TAUTOLOGICAL not in hazards_of(f"merge into t using u on {condition} when matched then delete")


@pytest.mark.parametrize("alias", ["x", "t"])
def test_alias_of_the_target_qualifies_its_columns(alias: str) -> None:
    assert Hazard.TAUTOLOGICAL not in hazards_of(f"delete from t as {alias} where {alias}.id = 5")
    assert Hazard.TAUTOLOGICAL in hazards_of(f"delete from t as {alias} using t as y where y.id = 5")


def test_target_joined_with_itself_is_no_condition() -> None:
    assert Hazard.TAUTOLOGICAL in hazards_of("delete from t using t x where x.id = t.id")
    assert Hazard.TAUTOLOGICAL in hazards_of("update t set a = 1 from t x where x.id = t.id")
    assert Hazard.TAUTOLOGICAL in hazards_of("merge into t using t x on x.id = t.id when matched then delete")
    assert Hazard.TAUTOLOGICAL not in hazards_of("delete from t using t x where x.email = t.email and x.id < t.id")
    assert Hazard.TAUTOLOGICAL not in hazards_of("delete from t using t x where x.id = t.id and t.name = 'x'")


def test_hidden_truth_survives_any_depth_of_negation() -> None:
    for depth in range(12):
        condition = "not (" * depth + ("1=1" if depth % 2 == 0 else "1=2") + ")" * depth
        assert Hazard.TAUTOLOGICAL in hazards_of(f"delete from t where {condition}"), depth


def test_condition_of_a_select_is_nobodys_business() -> None:
    assert Hazard.TAUTOLOGICAL not in hazards_of("select * from t where 1=1")
