"""Numbers of things in messages."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number and its noun, which has an s where it is not one: 1 frame, 2 frames.

    Args:
        number: How many.
        noun: What, in the singular; its last word is the one that changes.
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"
