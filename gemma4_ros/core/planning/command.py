# SPDX-License-Identifier: Apache-2.0
"""What an operator typed or said, before anything reads it: length, characters, language."""

from __future__ import annotations

import unicodedata

from gemma4_ros.core.errors import CommandError

MAX_CHARACTERS = 1000
# Below this share of known words a command of three or more words is taken for another language.
MIN_KNOWN_SHARE = 0.34


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
