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
    {'percent': 1.0, '%': 1.0},
    {'degree': 1.0, 'degc': 1.0, 'celsius': 1.0, 'c': 1.0, 'fahrenheit': 5 / 9, 'kelvin': 1.0},
    {'newton': 1.0, 'n': 1.0}, {'volt': 1.0}, {'ampere': 1.0}, {'rpm': 1.0, 'rps': 60.0, 'hz': 60.0},
    {'m/s': 1.0, 'mps': 1.0, 'kmh': 1 / 3.6, 'km/h': 1 / 3.6},
)  # fmt: skip
_ZERO = {'fahrenheit': -160 / 9, 'kelvin': -273.15}
"""What 0 is in the first unit, for scales that start elsewhere."""
_KNOWN = frozenset(unit for units in _UNITS for unit in units)
TRAVEL = frozenset((*_UNITS[1], *_UNITS[2]))
"""Units of distances and times."""
SHARE = 'share'
"""The unit of a part of a whole: "a quarter", "half"."""
_PARTS = {'half': 0.5, 'third': 1 / 3, 'thirds': 1 / 3, 'quarter': 0.25, 'quarters': 0.25}
_MOST = frozenset(('full', 'top', 'maximum', 'max', 'maximal'))
# Units of several words, and what they are short for; only directly after a number.
_SPOKEN: tuple[tuple[tuple[str, ...], str], ...] = (
    (('revolutions', 'per', 'second'), 'rps'), (('revolutions', 'a', 'second'), 'rps'),
    (('revolutions', 'per', 'minute'), 'rpm'), (('revolutions', 'a', 'minute'), 'rpm'), (('revolutions',), 'rpm'),
    (('meters', 'per', 'second'), 'm/s'), (('metres', 'per', 'second'), 'm/s'), (('meters', 'a', 'second'), 'm/s'),
    (('metres', 'a', 'second'), 'm/s'), (('m', 's'), 'm/s'), (('km', 'h'), 'km/h'),
    (('degrees', 'celsius'), 'celsius'), (('degrees', 'c'), 'celsius'), (('degrees', 'fahrenheit'), 'fahrenheit'),
    (('degrees', 'f'), 'fahrenheit'), (('f',), 'fahrenheit'), (('per', 'cent'), 'percent'),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Quantity:
    """Words ``start`` to ``end`` that say a number; ``unit`` is the word after it where that is a unit."""

    start: int
    end: int
    value: float
    unit: str = ''
    of_most: bool = False
    """Said of the most that there is: "80 percent of its maximum"."""

    def as_argument(self, unit: str, high: float) -> float | None:
        """Return the number as an argument with this unit and upper limit takes it; None if it means something else."""
        is_part = self.unit in (SHARE, 'percent')
        if is_part and self.of_most:
            return self.value * high / (1.0 if self.unit == SHARE else 100.0)
        if self.unit == SHARE:
            return self.value * 100.0 if unit in ('%', 'percent') else None
        if not self.unit or not unit or unit.startswith('$') or unit.lower() not in _KNOWN:
            return None if self.unit == 'percent' and unit else self.value
        return self.within(unit)

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
        first = self.value * scales.get(self.unit, 1.0) + _ZERO.get(self.unit, 0.0)
        return [
            (round((first - _ZERO.get(unit.lower(), 0.0)) / scales[unit.lower()], 9), unit)
            for unit in sorted(units)
            if unit.lower() in scales
        ]


def quantities(words: tuple[str, ...]) -> tuple[Quantity, ...]:
    """Return every number in its order; "one" counts before a unit only."""
    found: list[Quantity] = []
    index = 0
    while index < len(words):
        part = _part(words, index)
        value, length = part if part is not None else _signed(words, index)
        if value is None:
            index += 1
            continue
        end = index + length
        unit, after = (SHARE, end) if part is not None else _unit(words, end)
        if words[index] not in ('one', 'a') or length > 1 or unit:
            found.append(Quantity(index, end, value, unit, bool(_MOST & set(words[after : after + 3]))))
        index = max(end, after if unit not in ('', SHARE) and after > end + 1 else end)
    return tuple(found)


def _part(words: tuple[str, ...], index: int) -> tuple[float, int] | None:
    """Return "three quarters", "a third", "half" where no unit follows it: "half a bar" is a number."""
    lead = {'a': 1, 'one': 1, 'two': 2, 'three': 3}.get(words[index], 0)
    word = words[index + 1] if lead and index + 1 < len(words) else words[index]
    if word not in _PARTS or (word == 'half' and words[index] != 'half'):
        return None
    if word != 'half' and not lead:
        return None
    length = 1 if word == 'half' else 2
    rest = [item for item in words[index + length : index + length + 2] if item not in ('a', 'an', 'of')]
    if rest and (rest[0] in _KNOWN or rest[0].removesuffix('s') in _KNOWN):
        return None
    return (0.5 if word == 'half' else lead * _PARTS[word]), length


def unit_length(words: tuple[str, ...], end: int) -> int:
    """Return how many words the unit after a number has."""
    return _unit(words, end)[1] - end


def _unit(words: tuple[str, ...], end: int) -> tuple[str, int]:
    """Return the unit after a number, '' where there is none, and where the words go on."""
    for spoken, unit in _SPOKEN:
        if words[end : end + len(spoken)] == spoken:
            return unit, end + len(spoken)
    word = words[end] if end < len(words) else ''
    unit = word if word in _KNOWN else word.removesuffix('s')
    return (unit, end + 1) if unit in _KNOWN else ('', end)


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
    if words[index + length : index + length + 1] in (('k',), ('thousand',)):
        return whole * 1000.0, length + 1
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
        if following == 100 and 1 <= total <= 99 and not skip:
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
