"""What the package knows of the world's crystals: tables derived from the Materials Project."""
