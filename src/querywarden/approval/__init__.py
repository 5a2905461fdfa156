"""Approvals: who else must agree, and whether they have."""
