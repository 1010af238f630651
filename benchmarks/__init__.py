"""Figures the project states about itself; each module is run on its own."""
