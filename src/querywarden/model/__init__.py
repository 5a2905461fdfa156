"""The words that both dialects share: principals, resources, statement facts, decisions, limits."""
