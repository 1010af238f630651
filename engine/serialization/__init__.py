"""Policies as text: one module per dialect; reading returns the value and what was dropped."""
