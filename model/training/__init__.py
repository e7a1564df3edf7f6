"""Teaching the model: crystals and labels in, weights out. Needs torch, NumPy and Lightning only."""
