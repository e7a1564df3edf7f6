"""Crystals to learn from: tables in, a memory-mapped cache out."""
