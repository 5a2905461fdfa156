"""Words that say what a column's name is about: heads that rule a class out, and words that leave it as it is."""

from __future__ import annotations

NEUTRAL_AFTER = """
number numbers no nr num nro numero nummer numer cislo value values val text txt str string raw plain full primary secondary main alt
alternate alternative other old new previous prev current last first original orig home work office private privat personal
business mobile billing shipping delivery mailing line lines 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 i ii iii a b hash hashed digest md5
sha sha1 sha256 sha512 bcrypt encrypted enc crypted cipher ciphertext masked normalized normalised canonical lower lowercase upper
uppercase clean cleaned formatted display list array json jsonb data info information details detail blob local international
intl e164 last4 four addr address addresses adresse brut brutto net netto gross
annual monthly yearly amount betrag latin native kana kanji english wlan
"""
"""Words after a match that don't change what it is."""

HEADS_THAT_RULE_OUT = """
id ids uuid guid fk pk ref count counts counter cnt total sum avg min max type types kind at on date datetime time timestamp ts since
until expires expiry expiration expire exp ttl created updated deleted changed modified confirmed verified valid validated enabled
disabled active allowed blocked required optional opt in out is has flag status state version versions revision size length len width
height format template model label title description desc note notes comment remark hint placeholder prompt help rule policy
policies pattern regex mask column field attribute category class group level rank score position_order order sort priority
url uri link path file filename photo image picture icon logo mime suffix prefix domain provider server host port method protocol
mode setting settings preference preferences config option options permission permissions scope scopes role attempts failures
fails failed retries limit quota weight rate ratio percent price cost quantity qty currency lang language locale timezone tz
country state province region county continent estimated sent received bounced subscribed unsubscribed promotion newsletter
notification notifications reminder campaign subject body header footer content html message reason source origin target
interval duration period frequency history_id checksum etag fingerprint_type algorithm alg strength hint question questions
typ anzahl datum art status_code nombre_de quantite fecha tipo estado cantidad data tipo_de aantal soort liczba ilosc pocet adet tarih
"""

TRUTH_BEFORE = """
is has have can must should use uses using allow allows enable enables enabled disable show hide require requires
needs wants do does did was were are accept accepts verify
"""

NOT_STREET_BEFORE = """
email mail e ip mac web url http https memory contract wallet host server bus network hardware bluetooth physical register base start
end btc eth bitcoin ethereum crypto token smtp
"""
"""Words before `address` that make it another kind of address."""
