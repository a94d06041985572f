# SPDX-License-Identifier: Apache-2.0
"""What an operator typed or said, before anything reads it: length, characters, language."""

from __future__ import annotations

import re
import unicodedata

from gemma4_ros.core.errors import CommandError
from gemma4_ros.core.planning.numbers import TRAVEL, Quantity

MAX_CHARACTERS = 1000
# Below this share of known words a command of three or more words is taken for another language.
MIN_KNOWN_SHARE = 0.34
# A numeral that is no plain decimal: 8e0, 0x8, 1_000, 1.2.3, 3/4; and 1,000, which is 1 to some and 1000 to others.
_ODD = re.compile(
    r'(?<![\w.,/-])(?:\d+(?:[.,]\d+)?e[+-]?\d+'
    r'|(?:0[xob][0-9a-f]+|\d+_[\d_]+|\d+(?:\.\d+){2,}|\d+/\d+|\d{1,3}(?:,\d{3})+)(?!\w|[/,]\d))',
    re.IGNORECASE,
)
_DOZEN = re.compile(r'\bdozens?\b', re.IGNORECASE)
_CHANGES = frozenset(('raise', 'increase', 'lower', 'decrease', 'reduce', 'drop', 'boost', 'bump'))
_TURNS = frozenset(('turn', 'rotate', 'spin'))
_TO = frozenset(('to', 'at', 'of', 'until', 'till', 'than', 'below', 'above', 'over', 'under', 'between', 'within'))
_IS = frozenset(('is', 'are', 'reads', 'shows'))
_ARTICLES = frozenset(('the', 'a', 'an', 'this', 'that'))
_OWN_KINDS = frozenset(('am', 'pm', "o'clock", 'rad', 'radian', 'radians', 'inch', 'inches', 'foot', 'feet'))
"""Words after a number that is no amount of a set-point, and whose unit is not known."""


def clean(text: str) -> str:
    """Return the command in NFC with single spaces.

    Raises
    ------
    CommandError
        Empty, longer than 1,000 characters, or with control characters: says which and what to do.

    """
    if len(text) > MAX_CHARACTERS:
        raise CommandError(
            f'the command has {len(text)} characters; at most {MAX_CHARACTERS} are taken; say it shorter, or in parts'
        )
    text = unicodedata.normalize('NFC', text)
    for index, char in enumerate(text):
        if unicodedata.category(char) in ('Cc', 'Cf', 'Cs', 'Co', 'Cn') and char not in '\n\t\r':
            raise CommandError(
                f'the command has a control character (U+{ord(char):04X}) at position {index + 1}; '
                'type it again without'
            )
    text = ' '.join(text.split())
    if not any(char.isalnum() for char in text):
        raise CommandError('the command is empty; say what to do, for example "go to the dock"')
    return text


def check_language(text: str, known_share: float, languages: tuple[str, ...]) -> None:
    """Raise CommandError where the text is not English and the model reads nothing else."""
    if languages and set(languages) != {'en'}:
        return
    letters = [char for char in text if char.isalpha()]
    foreign = sum(1 for char in letters if not 'a' <= unicodedata.normalize('NFD', char)[0].lower() <= 'z')
    is_short = len(text.split()) < 3
    if letters and (foreign * 2 > len(letters) or (not is_short and known_share < MIN_KNOWN_SHARE)):
        raise CommandError(
            'this model reads English only; say it in English, or choose a Gemma 4 model (gemma4 model list)'
        )


def check_numerals(text: str) -> None:
    """Raise CommandError where a number is written so that it could be read as another one."""
    found = _ODD.search(text) or _DOZEN.search(text)
    before = zip(f' {text}', text, strict=False)  # a number inside of a name is left alone: CO₂
    odd = (c for last, c in before if unicodedata.category(c)[0] == 'N' and not c.isascii() and not last.isalpha())
    foreign = next(odd, '')
    shown = found.group() if found else foreign
    if shown:
        raise CommandError(f'{shown!r} is not taken as a number; write it with digits and a point, like 1000 or 0.75')


def check_changes(words: tuple[str, ...], quantities: tuple[Quantity, ...]) -> None:
    """
    Raise CommandError where a value is to change by an amount: "lower it by 0.4 bar" is no set-point of 0.4 bar.

    Distances, angles and times are amounts by nature: "back up by 0.5 m" is left alone.
    """
    for quantity in quantities:
        before, after = words[: quantity.start], words[quantity.end :]
        is_angle = quantity.unit in ('', 'degree') and bool(_TURNS & set(before)) and not {'up', 'down'} & set(before)
        if quantity.unit in TRAVEL or is_angle or _OWN_KINDS & set(after[:1]):
            continue
        if _is_change(before, after[1:] if quantity.unit else after, has_unit=bool(quantity.unit)):
            said = ' '.join(words[max(quantity.start - 1, 0) : quantity.end + 2])
            raise CommandError(f'{said!r} changes a value by an amount; say the value that it is to have then')


def _is_change(before: tuple[str, ...], after: tuple[str, ...], *, has_unit: bool) -> bool:
    """Say whether the words around a number make it an amount: "by 3", "3 bar more", "reduce it 3 bar"."""
    verbs = [index for index, word in enumerate(before) if word in _CHANGES or word in _TURNS]
    is_by = 'by' in before[-2:] and before[-1:] != () and before[-1] in ('by', 'about', 'another', 'roughly', 'around')
    if is_by and verbs:
        return True
    if not has_unit:
        return False
    ends = after[1:2] in ((), ('.',), (',',), (';',), ('and',), ('then',))
    if (
        after[:1] in (('more',), ('less',), ('higher',))
        or (after[:1] == ('lower',) and ends)
        or 'another' in before[-1:]
    ):
        return after[1:2] != ('than',)
    between = before[verbs[-1] :] if verbs else ()
    named = bool((_TO | _IS) & set(between)) or between[-1:] in [(word,) for word in _ARTICLES]
    return bool(between) and between[0] in _CHANGES and not named
