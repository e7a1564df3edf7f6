"""Walking back from noise."""
