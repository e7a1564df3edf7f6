"""Other ways from constraints to crystals: random search, substitution, screening."""
