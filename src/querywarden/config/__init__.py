"""Configuration and policy files: pydantic models, loading, line numbers in every error."""
