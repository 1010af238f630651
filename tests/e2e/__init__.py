"""Tests of the whole, in real processes."""
