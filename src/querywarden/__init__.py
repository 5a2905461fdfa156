"""Querywarden, an identity-aware proxy for PostgreSQL. The map, in flow order (imports go from the left column's top to its bottom only):

cli          thin: the commands                      demo         one command to see it work
app          the only file that wires things together
api          HTTP: thin
admin        use cases behind the commands           runtime      the world, active: asyncio lives here only
storage      the world, passive: files and stores    config       pydantic models, files with line numbers in errors
postgresql   the protocol, page by page              session      inputs and effects
gate         decide, record, release                 identity     who is speaking?
policy       may they?                               approval     who else must agree?
masking      what may they see?                      audit        what is remembered?
model        words that all share                    errors       families, and the table of reasons
"""

__version__ = "0.1.0"
