"""What the noise was, as GemNet sees it."""
