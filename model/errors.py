"""Errors that several rooms raise."""


class CheckpointError(ValueError):
    """A model that cannot be loaded as it is; the sentence says what is missing."""
