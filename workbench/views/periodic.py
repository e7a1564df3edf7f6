"""Where each element stands in the periodic table's long form."""

from model.elements import ALLOWED, SYMBOLS

_NOBLE = (0, 2, 10, 18, 36, 54, 86)
LAST = 96  # Cm; nothing heavier is in any crystal data here


def place(z: int) -> tuple[int, int]:
    """Row and column of an element in the long form; lanthanides and actinides stand in rows 9 and 10."""
    period = next(i for i, noble in enumerate(_NOBLE[1:], start=1) if z <= noble) if z <= _NOBLE[-1] else 7
    n = z - _NOBLE[period - 1]
    length = _NOBLE[period] - _NOBLE[period - 1] if period < 7 else 32
    if length == 32 and 3 <= n <= 17:
        return period + 3, n
    if n <= 2 and z != 2:
        return period, n
    return period, 18 - (length - n)


def cells() -> list[tuple[str, int, int, bool]]:
    """Symbol, row, column and whether models are taught the element, for each element shown."""
    return [(SYMBOLS[z], *place(z), SYMBOLS[z] in ALLOWED) for z in range(1, LAST + 1)]
