"""The PostgreSQL protocol, page by page: framing, start-up, login, sessions, results and the analysis of statements."""
