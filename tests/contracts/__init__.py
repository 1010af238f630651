"""Rules of the house that hold whatever is built."""
