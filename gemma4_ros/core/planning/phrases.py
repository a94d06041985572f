# SPDX-License-Identifier: Apache-2.0
"""Ways to say "if" and "otherwise", put into these two words before anything else reads a command."""

from __future__ import annotations

from gemma4_ros.core.planning import english
from gemma4_ros.core.planning.numbers import quantities

_SAME_AS_IF = (
    ('but', 'only', 'if'), ('only', 'if'), ('but', 'if'), ('and', 'if'), ('as', 'long', 'as'), ('in', 'case', 'that'),
    ('in', 'case'), ('provided', 'that'), ('on', 'condition', 'that'), ('only', 'when'), ('but', 'only', 'when'),
)  # fmt: skip


def plain_forks(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words with "if" and "otherwise" for what says the same."""
    result: list[str] = []
    index = 0
    while index < len(words):
        phrase = next((p for p in _SAME_AS_IF if words[index : index + len(p)] == p), ())
        is_start = not result or result[-1] in english.CLAUSES
        has_fork = bool({'if', 'unless'} & set(result))
        if words[index : index + 2] == ('if', 'not') and has_fork:
            result, index = [*result, 'otherwise'], index + 2
        elif phrase:
            result, index = [*result, 'if'], index + len(phrase)
        elif words[index] == 'should' and is_start and not has_fork:
            result, index = [*result, 'if'], index + 1
        elif is_start and not has_fork and _compares(words[index : index + 3]):
            result, index = [*result, 'if', 'it', 'is', words[index]], index + 1
        else:
            result, index = [*result, words[index]], index + 1
    return tuple(result)


def _compares(words: tuple[str, ...]) -> bool:
    """Say whether words start with "below 4" or "more than 4"."""
    rest = words[2:] if words[1:2] == ('than',) else words[1:2]
    return bool(words) and words[0] in english.COMPARED and bool(quantities(rest))
