"""The book of jobs: states, records, tables, and the store that keeps them consistent."""
