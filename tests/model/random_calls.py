"""The functions, operators and aggregates of random expressions, by the type that they give.

A line is a call; «type» stands for an argument of that type, «any» for one of any type, and {s} for the schema.
"""

from __future__ import annotations


def read(text: str) -> dict[str, tuple[str, ...]]:
    """The calls of a text, by type."""
    found: dict[str, list[str]] = {}
    type_ = ""
    for line in filter(None, text.splitlines()):
        if line.startswith(" "):
            found[type_].append(line.strip())
        else:
            type_ = line.rstrip(":")
            found[type_] = []
    return {name: tuple(calls) for name, calls in found.items()}


CALLS = read(
    """
text:
    upper(«text»)
    lower(«text»)
    reverse(«text»)
    («text» || «text»)
    substr(«text», 2, 9)
    left(«text», 8)
    md5(«text»)
    replace(«text», 'a', 'b')
    btrim(«text»)
    concat(«any», '-', «text»)
    format('%s/%s', «any», «text»)
    translate(«text», 'ab', 'ba')
    repeat(«text», 2)
    lpad(«text», 30, '.')
    quote_literal(«text»)
    initcap(«text»)
    regexp_replace(«text», '^.', '')
    split_part(«text», ' ', 1)
    encode(convert_to(«text», 'UTF8'), 'hex')
    encode(convert_to(«text», 'UTF8'), 'base64')
    («any»)::text
    CAST(«any» AS text)
    («pair»).a
    («text[]»)[1]
    («jsonb» ->> 'k')
    («jsonb» #>> '{a,0}')
    («json» ->> 'k')
    array_to_string(«text[]», ',')
    array_to_string(«int4[]», ' ')
    json_build_object('x', «any», 'y', «any»)::text
    ROW(«any», «any»)::text
    host(«inet»)
    to_char(«date», 'YYYY-MM-DD')
    to_char(«int4», 'FM999999999')
    encode(sha256(convert_to(«text», 'UTF8')), 'hex')
    («text» COLLATE "C")
    overlay(«text» placing 'x' from 1 for 1)
    chr(97 + abs(«int4») % 20)
    greatest(«text», «text»)
    coalesce(«text», «text»)
    jsonb_pretty(«jsonb»)
    concat_ws(',', «any», «any»)
    substring(«text» from 1 for 7)
    to_json(«any»)::text
    {s}.f_body(«text»)
    {s}.f_atomic(«text», 9)
varchar:
    («text»)::varchar
    («text»)::varchar(12)
    coalesce(«varchar», «varchar»)
bpchar:
    («text»)::char(12)
    coalesce(«bpchar», «bpchar»)
int4:
    length(«text»)
    ascii(«text»)
    («int4» # «int4»)
    («int4» % 1000)
    (- «int4»)
    extract(year FROM «date»)::int4
    cardinality(«text[]»)
    («int4[]»)[1]
    («pair»).b
    strpos(«text», 'a')
    («jsonb» ->> 'n')::int4
    coalesce(«int4», «int4»)
    least(«int4», «int4»)
    («date» - «date»)
    hashtext(«text»)
    («bool»)::int4
    array_position(«text[]», 'open')
    masklen(«inet»)
int8:
    («int4»)::int8
    («int8» + «int4»)
    hashtextextended(«text», 1)
    («int8» * 2)
    extract(epoch FROM «timestamptz»)::int8
    coalesce(«int8», «int8»)
numeric:
    («int4»)::numeric
    («numeric» + «int8»)
    round(«numeric», 1)
    («numeric» / 3)
    extract(epoch FROM «timestamptz»)
    abs(«numeric»)
    coalesce(«numeric», «numeric»)
date:
    («date» + 1)
    («timestamptz»)::date
    greatest(«date», «date»)
    coalesce(«date», «date»)
timestamptz:
    («date»)::timestamptz
    date_trunc('day', «timestamptz»)
    («timestamptz» + interval '1 h')
    («timestamptz» AT TIME ZONE 'UTC' AT TIME ZONE 'UTC')
uuid:
    md5(«text»)::uuid
    coalesce(«uuid», «uuid»)
inet:
    set_masklen(«inet», 20)
    («inet» + 1)
    network(«inet»)::inet
    («inet»)::text::inet
json:
    to_json(«any»)
    json_build_object('x', «any», 'y', «any»)
    json_build_array(«any», «any»)
    («json» -> 'a')
    («jsonb»)::text::json
    row_to_json(ROW(«any», «any»))
jsonb:
    to_jsonb(«any»)
    jsonb_build_object('x', «any»)
    («jsonb» || «jsonb»)
    jsonb_set(«jsonb», '{z}', to_jsonb(«text»), true)
    («json»)::jsonb
    jsonb_strip_nulls(«jsonb»)
    jsonb_build_array(«any», «any»)
text[]:
    ARRAY[«text», «text»]
    string_to_array(«text», ' ')
    array_append(«text[]», «text»)
    («text[]» || «text[]»)
    («text[]»)[1:1]
    array_remove(«text[]», 'x')
int4[]:
    ARRAY[«int4», «int4»]
    array_append(«int4[]», «int4»)
    («int4[]»)[:2]
mood:
    coalesce(«mood», «mood»)
    greatest(«mood», «mood»)
pair:
    ROW(«text», «int4»)::{s}.pair
    coalesce(«pair», «pair»)
bool:
    («int4» < «int4»)
    («text» ~~ 'o%')
    starts_with(«text», 'o')
    (NOT «bool»)
    («bool» AND «bool»)
    («jsonb» @> '{"n": 1}')
    («jsonb» ? 'k')
    («int4» BETWEEN 1 AND 50)
    ('a1' = ANY («text[]»))
    («text» = «text»)
"""
)
"""What gives a value of a type for each row."""

AGGREGATES = read(
    """
text:
    min(«text»)
    max(«text»)
    string_agg(«text», ',' ORDER BY «text»)
    max(«text») FILTER (WHERE true)
    percentile_disc(0.5) WITHIN GROUP (ORDER BY «text»)
    string_agg(DISTINCT «text», ';')
int4:
    min(«int4»)
    max(«int4»)
    bit_or(«int4»)
int8:
    count(*)
    sum(«int4»)
    count(«any»)
    count(DISTINCT «text»)
    max(«int8»)
numeric:
    sum(«int8»)
    avg(«int4»)
    max(«numeric»)
date:
    max(«date»)
timestamptz:
    min(«timestamptz»)
json:
    json_agg(«any»)
    json_agg(«text» ORDER BY «text»)
    json_object_agg('k', «any»)
jsonb:
    jsonb_agg(«any»)
    jsonb_object_agg('k', «any»)
text[]:
    array_agg(«text»)
    array_agg(«text» ORDER BY «text» DESC)
int4[]:
    array_agg(«int4»)
bool:
    bool_or(«bool»)
    every(«bool»)
inet:
    max(«inet»)
mood:
    min(«mood»)
"""
)
"""What gives a value of a type for many rows; an argument that is named twice is the same."""
