"""Tenants: whose a job is. A tenant is a name on keys and rows, made by making a key for it."""

DEFAULT = "default"
"""Whose everything is where nobody asks for keys."""
