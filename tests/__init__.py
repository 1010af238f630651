"""Tests of Halfstep, mirroring its rooms."""
