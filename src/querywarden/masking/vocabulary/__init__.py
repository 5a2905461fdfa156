"""The words of the column classifier, by class of data, in the languages that schemas are written in.

Entries are in lower case without accents (`ä` is `ae` or `a`, `ß` is `ss`); `_` joins the tokens of a phrase.
"""
