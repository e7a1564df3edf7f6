"""Verdicts on crystals: hull, sameness, scorecard."""
