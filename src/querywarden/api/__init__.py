"""The HTTP API: approvals, access, sessions and blocks for callers with a verified token. Thin: the use cases are in `admin`."""
