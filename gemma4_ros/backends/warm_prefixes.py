# SPDX-License-Identifier: Apache-2.0
"""What of a prompt need not be read again: from the cache's sequences, or from disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gemma4_ros.backends.llama_context import LlamaContext
from gemma4_ros.backends.prefix_slots import PrefixSlots
from gemma4_ros.backends.prefix_store import PrefixStore

__all__ = ['Place', 'WarmPrefixes']

_WORTH_RESTORING_TOKENS = 64
_WORTH_SAVING_S = 1.0


@dataclass(slots=True)
class Place:
    """Where a prompt is evaluated: its sequence, and the tokens that lie in it (the caller appends)."""

    slot: int
    held: list[int]


class WarmPrefixes:
    """Keeps the book of the cache in step with the cache itself."""

    def __init__(self, context: LlamaContext, slots: int, capacity: int, store: PrefixStore | None) -> None:
        self._context = context
        self._slots = PrefixSlots(slots, capacity)
        self._store = store

    def take(self, prompt: Sequence[int], constant: int, room: int) -> Place:
        """
        Return the place that already holds most of a prompt, cut back to what both share.

        Parameters
        ----------
        prompt : sequence of int
            All of its tokens.
        constant : int
            How many of them stay the same from request to request (all but the last message); looked for on disk.
        room : int
            Tokens that prompt and answer will need.

        """
        claim = self._slots.claim(prompt, room)
        for slot in claim.evict:
            self._context.cut(slot, 0)
        if claim.fork_from is not None:
            self._context.fork(claim.fork_from, claim.slot, claim.kept)
        place = Place(claim.slot, self._slots.tokens(claim.slot))
        if not self._context.cut(claim.slot, claim.kept):  # a memory that cannot be cut: read all of it again
            self._empty(place)
        if constant - len(place.held) >= _WORTH_RESTORING_TOKENS:
            self._restore(place, prompt[:constant])
        return place

    def save(self, place: Place, took_s: float) -> None:
        """Write the sequence to disk if reading it again would take long."""
        if self._store is not None and took_s > _WORTH_SAVING_S and len(place.held) >= _WORTH_RESTORING_TOKENS:
            self._store.save(place.held, lambda path: self._context.save(place.slot, path, place.held))

    def longest(self) -> int:
        """Return the length of the longest warm sequence."""
        return self._slots.longest()

    def _restore(self, place: Place, tokens: Sequence[int]) -> None:
        path = self._store.find(tokens) if self._store is not None else None
        if path is None or self._store is None:
            return
        self._empty(place)
        if self._context.load(place.slot, path, tokens):
            place.held[:] = tokens
        else:
            self._store.discard(path)
            self._empty(place)

    def _empty(self, place: Place) -> None:
        self._context.cut(place.slot, 0)
        place.held.clear()
