"""The messages of the PostgreSQL protocol, named as in its documentation, decoded strictly."""
