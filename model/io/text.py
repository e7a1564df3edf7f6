"""Texts in and out: what makes one unreadable, and writing one whole or not at all."""

import os
from pathlib import Path


class UnreadableError(ValueError):
    """A text that holds no crystal we can take: its `kind` in a few words, and one sentence."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(kind, sentence)  # both, so that it survives the way from another process
        self.kind = kind
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


def first_line(error: Exception) -> str:
    """The first line of what went wrong, without the full stop."""
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__).rstrip(".")[:200]


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file whole or not at all."""
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
