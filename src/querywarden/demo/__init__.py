"""One command to see it work: embedded PostgreSQL, a local OIDC issuer, a seeded shop, the real proxy. Never for production."""
