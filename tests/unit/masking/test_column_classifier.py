"""The column classifier: names in many languages, heads, tables, types, comments."""

from __future__ import annotations

import pytest

from querywarden.masking.column_classifier import classify_column, classify_comment, classify_name
from querywarden.masking.column_names import CLASSES, PHRASES, tokens_of
from querywarden.masking.declared_types import Kind, kind_of
from querywarden.model.catalogue import DataClass


def found(column: str, table: str = "things", type_name: str = "text", comment: str | None = None) -> str | None:
    """The class of a column by value."""
    classification = classify_column("public", table, column, type_name, comment)
    return classification.data_class.value if classification else None


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("email", "email"),
        ("userEmail", "email"),
        ("EMAIL_ADDRESS", "email"),
        ("alt_email", "email"),
        ("courriel", "email"),
        ("sahkoposti", "email"),
        ("mobilnummer", "phone"),
        ("phone_number_2", "phone"),
        ("cep_telefonu", "phone"),
        ("nazwisko", "person_name"),
        ("achternaam", "person_name"),
        ("prénom", "person_name"),
        ("emp_lastname", "person_name"),
        ("apellido_paterno", "person_name"),
        ("kundenname", "person_name"),
        ("contact_name", "person_name"),
        ("morada", "address"),
        ("Straße", "address"),
        ("rechnungsadresse", "address"),
        ("address_line_2", "address"),
        ("plz", "postcode"),
        ("kod_pocztowy", "postcode"),
        ("ville", "city"),
        ("geburtsdatum", "dob"),
        ("fecha_nacimiento", "dob"),
        ("tckn", "national_id"),
        ("hetu", "national_id"),
        ("social_security_number", "national_id"),
        ("partita_iva", "tax_id"),
        ("reisepassnummer", "passport"),
        ("kfz_kennzeichen", "vehicle_id"),
        ("creditCardNumber", "credit_card"),
        ("credit_card_last4", "credit_card"),
        ("iban", "iban"),
        ("kontonummer", "bank_account"),
        ("client_ip", "ip"),
        ("mac_address", "mac"),
        ("imei", "device_id"),
        ("diagnose", "health"),
        ("salaire_brut", "sensitive"),
        ("mot_de_passe", "password"),
        ("password_hash", "password_hash"),
        ("salt", "password_hash"),
        ("api_key", "secret"),
        ("refreshToken", "secret"),
        ("password_reset_token_digest", "secret"),
        ("btc_address", "crypto"),
    ],
)
def test_name_in_any_language_has_its_class(column: str, expected: str) -> None:
    assert found(column) == expected


@pytest.mark.parametrize(
    "column",
    [
        "email_verified_at",
        "email_domain",
        "email_count",
        "email_opt_in",
        "is_mobile",
        "has_password",
        "phone_model",
        "phone_type_id",
        "file_hash",
        "sha256",
        "product_name",
        "file_name",
        "host_name",
        "company_name",
        "category_name",
        "state",
        "country",
        "pass_count",
        "address_id",
        "address_type",
        "contract_address",
        "token_expires_at",
        "token_type",
        "api_key_id",
        "card_type",
        "ip_whitelist_enabled",
        "user_agent",
        "created_at",
        "first_name_length",
        "zipped",
        "hostname",
        "description",
        "status",
        "total",
        "tokenizer",
        "mailing_list",
    ],
)
def test_name_whose_head_is_something_else_has_none(column: str) -> None:
    assert found(column) is None


@pytest.mark.parametrize(
    ("table", "column", "expected"),
    [
        ("staff", "name", "person_name"),
        ("users", "name", "person_name"),
        ("kunden", "name", "person_name"),
        ("salarie", "nom", "person_name"),
        ("products", "name", None),
        ("user_groups", "name", None),
        ("versions", "full_name", None),
        ("users", "full_name", "person_name"),
        ("users", "nickname", "username"),
        ("devices", "nickname", None),
        ("sessions", "session_id", "secret"),
        ("events", "session_id", None),
        ("patient_identifier", "identifier", "medical_id"),
        ("oauth_resource", "identifier", None),
    ],
)
def test_table_decides_what_a_word_for_any_name_means(table: str, column: str, expected: str | None) -> None:
    assert found(column, table) == expected


@pytest.mark.parametrize(
    ("column", "type_name", "expected"),
    [
        ("email", "boolean", None),
        ("email", "integer", None),
        ("email", "timestamp with time zone", None),
        ("email", "citext", "email"),
        ("birth_date", "date", "dob"),
        ("birthday", "boolean", None),
        ("device_id", "integer", None),
        ("device_id", "uuid", None),
        ("device_id", "text", "device_id"),
        ("national_id", "bigint", "national_id"),
        ("address", "inet", "ip"),
        ("gateway", "inet", "ip"),
        ("port", "macaddr", "mac"),
        ("tokens", "bigint", None),
        ("address", "jsonb", "address"),
        ("contacts", "text[]", "sensitive"),
        ("latitude", "numeric(9,6)", "geo"),
        ("latitude", "integer", None),
        ("salary", "numeric", "sensitive"),
        ("address", "address_t", "address"),
        ("first_name", "character varying(20)", "person_name"),
        ("email_search", "tsvector", None),
        ("session_token", "uuid", "secret"),
    ],
)
def test_declared_type_can_rule_a_class_out(column: str, type_name: str, expected: str | None) -> None:
    assert found(column, type_name=type_name) == expected


def test_place_beside_a_person_and_document_about_a_person_are_classified() -> None:
    assert found("home", "users", "point") == "geo"
    assert found("spot", "shops", "point") is None
    assert found("profile", "users", "jsonb") == "sensitive"
    assert found("profile", "users", "text") is None


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("querywarden: none", None),
        ("Shown to all. querywarden:none", None),
        ("querywarden: phone", "phone"),
        ("PII:email", "email"),
        ("pii = name", "person_name"),
        ("querywarden: nonsense", "opaque"),
        ("pii: yes of course", "sensitive"),
        ("the email", "email"),
        ("pii: no", None),
    ],
)
def test_tag_in_a_comment_is_stronger_than_the_name(comment: str, expected: str | None) -> None:
    assert found("email", comment=comment) == expected


def test_comment_without_a_tag_says_nothing() -> None:
    assert classify_comment("holds the email of a person") is None
    assert classify_comment("epii: email") is None


def test_name_alone_is_judged_without_a_table() -> None:
    assert classify_name("name") is None
    email = classify_name("E-Mail")
    assert email is not None
    assert (email.data_class, email.source) == (DataClass.EMAIL, "name")


def test_compounds_are_taken_apart_only_when_every_part_is_a_word() -> None:
    assert tokens_of("kundenname") == (("kund", "name"),)
    assert tokens_of("IPAddress") == (("ip", "address"),)
    assert tokens_of("größe")[0] == ("grosse",)
    assert tokens_of("xemailx") == (("xemailx",),)


def test_every_class_with_a_vocabulary_is_reachable() -> None:
    assert {data_class for data_class, _ in CLASSES} == set(PHRASES.values())
    assert set(DataClass) - set(PHRASES.values()) == {DataClass.OPAQUE}


@pytest.mark.parametrize(
    ("type_name", "kind"),
    [
        ("tinyint(1)", Kind.TRUTH),
        ("character varying(20)", Kind.TEXT),
        ("double precision", Kind.DECIMAL),
        ("int4[]", Kind.INTEGER),
        ("text[]", Kind.DOCUMENT),
        ("bit varying(8)", Kind.TEXT),
        ("shop.mood", Kind.TEXT),
        ("timestamp without time zone", Kind.DATE),
    ],
)
def test_kind_of_a_declared_type(type_name: str, kind: Kind) -> None:
    assert kind_of(type_name) is kind
