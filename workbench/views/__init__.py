"""Candidates in, picture out: pure functions that panels hang and notebooks call."""
