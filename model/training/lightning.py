"""Lightning under whichever of its two names is installed. Edge: lightning."""

try:
    import lightning.pytorch as pl
except ImportError:
    try:
        import pytorch_lightning as pl
    except ImportError as error:
        raise ImportError("Training needs Lightning: pip install lightning (or pytorch-lightning).") from error

__all__ = ["pl"]
