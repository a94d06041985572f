# SPDX-License-Identifier: Apache-2.0
"""Which tokens lie in the KV cache, and which of them the next prompt can use; no engine in here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ['Claim', 'PrefixSlots', 'common_prefix']

_KEEP_TAIL_TOKENS = 256  # a tail longer than this (and than what is shared) is worth a fork


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many leading tokens two sequences share."""
    limit = min(len(a), len(b))
    if list(a[:limit]) == list(b[:limit]):
        return limit
    return next(i for i in range(limit) if a[i] != b[i])


@dataclass(frozen=True, slots=True)
class Claim:
    """What to do to the cache before a prompt: evict slots, fork a prefix, cut the slot at ``kept``."""

    slot: int
    kept: int
    evict: tuple[int, ...] = ()
    fork_from: int | None = None


@dataclass(slots=True)
class _Slot:
    tokens: list[int] = field(default_factory=list)
    used: int = 0


class PrefixSlots:
    """
    Sequences kept warm in one cache of ``capacity`` tokens.

    A prompt takes the slot with the longest common prefix. If that slot's tail is long (another caller's prompt that
    merely starts alike), the prefix is forked into the oldest slot instead, and both stay warm.
    """

    def __init__(self, slots: int, capacity: int) -> None:
        self._slots = [_Slot() for _ in range(slots)]
        self._capacity = capacity
        self._clock = 0

    def tokens(self, slot: int) -> list[int]:
        """Return the tokens of a slot; the caller appends what it decodes."""
        return self._slots[slot].tokens

    def claim(self, prompt: Sequence[int], room: int) -> Claim:
        """
        Choose a slot for a prompt and bring the book-keeping up to date.

        Parameters
        ----------
        prompt : sequence of int
            All of it but the last token may be reused: the last one must be evaluated for its logits.
        room : int
            Tokens that prompt and answer will need together.

        """
        self._clock += 1
        shared = [common_prefix(slot.tokens, prompt[:-1]) for slot in self._slots]
        best = max(range(len(shared)), key=lambda i: (shared[i], -len(self._slots[i].tokens), -self._slots[i].used))
        kept = shared[best]
        lost = len(self._slots[best].tokens) - kept
        slot, fork_from = best, None
        if lost > max(kept, _KEEP_TAIL_TOKENS) and len(self._slots) > 1:
            slot = min((i for i in range(len(shared)) if i != best), key=lambda i: self._slots[i].used)
            fork_from = best if kept else None
        evict = [slot] if slot != best else []
        evict += self._make_room(room, {slot, best} if fork_from is not None else {slot}, fork_from, evict)
        if fork_from is not None and fork_from in evict:  # no room for both: take the fork's source over
            evict.remove(fork_from)
            slot, fork_from = best, None
        for index in evict:
            self._slots[index].tokens.clear()
        mine = self._slots[slot]
        mine.tokens[:] = self._slots[best].tokens[:kept]
        mine.used = self._clock
        return Claim(slot, kept, tuple(evict), fork_from)

    def _make_room(self, room: int, keep: set[int], fork_from: int | None, evicted: list[int]) -> list[int]:
        """Return further slots to evict, oldest first, until the request fits; a fork's source goes last."""
        held = {i: len(s.tokens) for i, s in enumerate(self._slots) if i not in evicted}
        others = sorted((i for i in held if i not in keep and held[i]), key=lambda i: self._slots[i].used)
        if fork_from is not None:
            others.append(fork_from)
        gone: list[int] = []
        mine = keep - {fork_from}
        for index in others:
            if sum(n for i, n in held.items() if i not in mine and i not in gone) + room <= self._capacity:
                break
            gone.append(index)
        return gone

    def clear(self) -> None:
        """Forget everything."""
        for slot in self._slots:
            slot.tokens.clear()

    def longest(self) -> int:
        """Return the length of the longest warm sequence."""
        return max(len(slot.tokens) for slot in self._slots)
