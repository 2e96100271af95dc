"""Names of any kind, as one short line for people."""

from __future__ import annotations


def one_line(text: object, length: int = 0) -> str:
    """Text without line breaks or control characters, which are shown escaped, and at most `length` characters long.

    Args:
        text: a label, a path.
        length: 0: as long as it is; else a longer text is cut in the middle.
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(text))
    if not length or len(shown) <= length:
        return shown
    start = (length - 1) * 2 // 3
    return f"{shown[:start]}…{shown[len(shown) - (length - 1 - start) :]}"
