"""Operators that the policy names for classes, columns and groups, on a real server: every one gives valid values of every type."""

from __future__ import annotations

import datetime
import uuid

import pytest

from querywarden.masking.operators import Operator

COLUMNS = ("email", "work_email", "phone", "birth_date", "ssn", "passport_no", "emails", "birth_dates", "last_ip", "home_address", "tax_id")
TYPES = (str, str, str, datetime.date, int, uuid.UUID, list, list, object, dict, object)
CLASSES = ("email", "email", "phone", "dob", "national_id", "passport", "email", "dob", "ip", "address", "tax_id")
_ALL = "".join(
    f'  - {{id: all-{operator}, who: {{groups: [only-{operator}]}}, columns: ["people.*"], operator: "{operator}"}}\n'
    for operator in Operator
)
_CLASSES = "".join(f"  people.{column}: {data_class}\n" for column, data_class in zip(COLUMNS, CLASSES, strict=True))
POLICY = f"""
version: 1
columns:
{_CLASSES}
masks:
  - {{id: support-emails, who: {{groups: [support]}}, classes: [email], operator: redact}}
  - {{id: support-work, who: {{groups: [support]}}, columns: [people.work_email], operator: shape}}
  - {{id: no-phones, who: {{groups: [support, engineers]}}, classes: [phone], operator: "null"}}
{_ALL}
"""
SCHEMA = """
SET client_min_messages = warning;
DROP SCHEMA public CASCADE;
CREATE SCHEMA public AUTHORIZATION app;
CREATE TABLE public.people (
    id int, email text, work_email varchar(40), phone varchar(20), birth_date date, ssn bigint, passport_no uuid,
    emails text[], birth_dates date[], last_ip inet, home_address jsonb, tax_id numeric
);
INSERT INTO public.people VALUES (
    1, 'ann@canary.example', 'ann@work.example', '+43 1 5877001', '1977-07-17', 123456789, '6f2c1f5e-5a3e-4c2b-9d0e-8f7a6b5c4d3e',
    '{ann@canary.example,b@canary.example}', '{1977-07-17}', '198.51.100.77', '{"street": "Canary Row 1"}', 9876.54
);
ALTER TABLE public.people OWNER TO app;
"""
SECRETS = ("canary", "5877001", "1977-07-17", "123456789", "6f2c1f5e", "9876.54", "Canary Row", "198.51.100.77")


@pytest.fixture
def see(server18, make_site, tmp_path):
    """What somebody of a group sees of one row."""
    server18.sql(SCHEMA, "people")
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    site = make_site(policy={"file": str(file)})

    def look(what: str, group: str = "engineers", binary: bool = False):
        with site.through("people", "ann", token=site.token("ann", groups=[group])).connect() as connection:
            return connection.execute(f"select {what} from people", binary=binary).fetchone()

    return look


def test_groups_see_their_own_masks(see):
    for binary in (False, True):
        email, work, phone = see("email, work_email, phone", "support", binary)
        assert ("[redacted]", None) == (email, phone)
        assert (len("ann@work.example"), "@", ".") == (len(work), work[3], work[8])
        assert work != "ann@work.example"
        email, work, phone = see("email, work_email, phone", "engineers", binary)
        assert email.startswith("u_")
        assert email.endswith("@example.com")
        assert work.startswith("u_")
        assert phone is None
    # What is derived stays masked as before.
    assert (None, None) == see("upper(email), work_email || phone", "support")


def test_every_operator_gives_valid_values_of_every_type(see):
    for operator in Operator:
        for binary in (False, True):
            seen = see(", ".join(COLUMNS), f"only-{operator}", binary)
            for column, value, kind in zip(COLUMNS, seen, TYPES, strict=True):
                assert value is None or isinstance(value, kind), (operator, column, value)
            assert [] == [secret for secret in SECRETS if secret in repr(seen)], operator
    assert (None,) * len(COLUMNS) == see(", ".join(COLUMNS), "only-null")
