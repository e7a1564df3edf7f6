"""Properties of a crystal, each with its unit and its source."""
