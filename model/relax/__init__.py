"""Energies, forces and the way down: potentials and the relaxer."""
