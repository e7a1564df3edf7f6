"""Density functional theory: inputs for VASP, and what came of them."""
