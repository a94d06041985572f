# SPDX-License-Identifier: Apache-2.0
"""Which of two opposed values the words ask for: "start the pump" is ``on``, "shut it" is ``closed``."""

from __future__ import annotations

from collections.abc import Collection, Iterable

_OPEN = frozenset(('open', 'opened', 'opens', 'opening', 'raise', 'raised'))
_CLOSED = frozenset(('close', 'closed', 'closes', 'closing', 'shut', 'shuts', 'shutting'))
_WORDS: dict[str, frozenset[str]] = {
    'on': frozenset(('on', 'start', 'starts', 'started', 'run', 'runs', 'running', 'enable', 'enabled', 'activate')),
    'off': frozenset(('off', 'stop', 'stops', 'stopped', 'disable', 'disabled', 'deactivate', 'kill')),
    'open': _OPEN,
    'closed': _CLOSED,
    'shut': _CLOSED,
    'locked': frozenset(('lock', 'locked')),
    'unlocked': frozenset(('unlock', 'unlocked')),
}
_OPPOSED = (('on', 'off'), ('open', 'closed'), ('open', 'shut'), ('locked', 'unlocked'))


def is_opposed(values: Collection[str]) -> bool:
    """Say whether two of the values undo each other."""
    return any(a in values and b in values for a, b in _OPPOSED)


def said_of(values: Collection[str], words: Iterable[str]) -> frozenset[str]:
    """Return those of opposed values that the words ask for or tell of; none where they are not opposed."""
    said = set(words)
    if not is_opposed(values):
        return frozenset()
    return frozenset(value for value in values if _WORDS.get(value, frozenset()) & said)
