# SPDX-License-Identifier: Apache-2.0
"""The numbers in an operator's words, with their units: "3.2", "three point two", "half a bar", "450 kPa"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gemma4_ros.core.planning import english

# Units people say, by what they measure, each in those of the first one.
_UNITS: tuple[dict[str, float], ...] = (
    {'bar': 1.0, 'kpa': 0.01, 'mbar': 0.001, 'mpa': 10.0, 'pa': 1e-5, 'pascal': 1e-5, 'psi': 0.0689475729},
    {'m': 1.0, 'meter': 1.0, 'metre': 1.0, 'cm': 0.01, 'centimeter': 0.01, 'centimetre': 0.01, 'mm': 0.001,
     'millimeter': 0.001, 'millimetre': 0.001, 'km': 1000.0},
    {'s': 1.0, 'sec': 1.0, 'second': 1.0, 'min': 60.0, 'minute': 60.0, 'h': 3600.0, 'hour': 3600.0, 'ms': 0.001},
    {'kg': 1.0, 'kilo': 1.0, 'kilogram': 1.0, 'g': 0.001, 'gram': 0.001, 'mg': 1e-6, 'ton': 1000.0, 'tonne': 1000.0},
    {'percent': 1.0}, {'degree': 1.0, 'degc': 1.0, 'celsius': 1.0},
    {'newton': 1.0, 'n': 1.0}, {'volt': 1.0}, {'ampere': 1.0},
)  # fmt: skip
_KNOWN = frozenset(unit for units in _UNITS for unit in units)


@dataclass(frozen=True, slots=True)
class Quantity:
    """Words ``start`` to ``end`` that say a number; ``unit`` is the word after it where that is a unit."""

    start: int
    end: int
    value: float
    unit: str = ''

    def values(self, units: Iterable[str] = ()) -> tuple[float, ...]:
        """Return the number as it was said, and as it is in those of the units that measure the same."""
        found = self._in(units)
        return (self.value, *dict.fromkeys(value for value, _ in found if value != self.value))

    def converted(self, units: Iterable[str]) -> tuple[float, str] | None:
        """Return value and unit in one of these units, where another one was said."""
        found = [item for item in self._in(units) if item[0] != self.value]
        return (round(found[0][0], 3), found[0][1]) if found else None

    def within(self, unit: str) -> float | None:
        """Return the number in one unit; None where that measures something else."""
        found = self._in((unit,))
        return found[0][0] if found else None

    def _in(self, units: Iterable[str]) -> list[tuple[float, str]]:
        scales = next((scales for scales in _UNITS if self.unit in scales), {})
        return [
            (round(self.value * scales[self.unit] / scales[unit.lower()], 9), unit)
            for unit in sorted(units)
            if unit.lower() in scales
        ]


def quantities(words: tuple[str, ...]) -> tuple[Quantity, ...]:
    """Return every number in its order; "one" counts before a unit only."""
    found: list[Quantity] = []
    index = 0
    while index < len(words):
        value, length = _signed(words, index)
        if value is None:
            index += 1
            continue
        end = index + length
        unit = words[end] if end < len(words) else ''
        unit = unit if unit in _KNOWN else unit.removesuffix('s')
        unit = unit if unit in _KNOWN else ''
        if words[index] not in ('one', 'a') or length > 1 or unit:
            found.append(Quantity(index, end, value, unit))
        index = end
    return tuple(found)


def _signed(words: tuple[str, ...], index: int) -> tuple[float | None, int]:
    if words[index] == 'minus' and index + 1 < len(words):
        value, length = _unsigned(words, index + 1)
        return (None, 1) if value is None else (-value, length + 1)
    return _unsigned(words, index)


def _unsigned(words: tuple[str, ...], index: int) -> tuple[float | None, int]:
    word = words[index]
    if word == 'half' and words[index + 1 : index + 2] in (('a',), ('an',)):
        return 0.5, 2
    if word == 'point':
        return _decimals(words, index, 0.0, 0)
    if word[0].isdigit() or (word[0] == '.' and len(word) > 1):
        whole, length = float(word.replace(',', '.')), 1
    elif word in english.NUMBERS:
        whole, length = _spelled(words, index)
    else:
        return None, 1
    after = words[index + length : index + length + 3]
    if after == ('and', 'a', 'half'):
        return whole + 0.5, length + 3
    return _decimals(words, index + length, whole, length)


def _decimals(words: tuple[str, ...], index: int, whole: float, length: int) -> tuple[float | None, int]:
    """Return the number with "point two five" after it; nothing where neither was said."""
    digits = ''
    end = index + 1
    while words[index : index + 1] == ('point',) and end < len(words) and _is_digit(words[end]):
        digits += f'{int(english.NUMBERS.get(words[end], words[end]))}'
        end += 1
    if digits:
        return whole + float(f'0.{digits}'), length + end - index
    return (whole, length) if length else (None, 1)


def _spelled(words: tuple[str, ...], index: int) -> tuple[float, int]:
    """Return "twenty five", "one hundred and twenty"; the words are known to start with a number."""
    total, end = english.NUMBERS[words[index]], index + 1
    while end < len(words):
        skip = 1 if words[end] == 'and' and total >= 100 and end + 1 < len(words) else 0
        following = english.NUMBERS.get(words[end + skip])
        if following == 100 and 1 <= total <= 9 and not skip:
            total *= 100
        elif following is not None and 0 < following < _room(total):
            total += following
        else:
            break
        end += 1 + skip
    return float(total), end - index


def _room(total: int) -> int:
    """Return what may still be added to a spelled number: below 10 after tens, below 100 after hundreds."""
    if total >= 100 and total % 100 == 0:
        return 100
    return 10 if total >= 20 and total % 10 == 0 else 0


def _is_digit(word: str) -> bool:
    return (word.isdigit() and len(word) == 1) or (word in english.NUMBERS and 0 <= english.NUMBERS[word] <= 9)
