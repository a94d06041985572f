# SPDX-License-Identifier: Apache-2.0
"""The book of the cache, driven by random prompts, never says that something is there which is not."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4_ros.backends.prefix_slots import PrefixSlots, common_prefix

PROMPT = st.builds(
    lambda system, tail: [system] * 300 + tail, st.integers(0, 3), st.lists(st.integers(4, 6), min_size=1, max_size=400)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(PROMPT, min_size=1, max_size=12))
def test_a_mirror_of_the_cache_agrees(prompts):
    slots, capacity = 3, 2500
    book = PrefixSlots(slots, capacity)
    cache: dict[int, list[int]] = {slot: [] for slot in range(slots)}
    for prompt in prompts:
        claim = book.claim(prompt, len(prompt) + 50)
        for slot in claim.evict:
            cache[slot] = []
        if claim.fork_from is not None:
            cache[claim.slot] = cache[claim.fork_from][: claim.kept]
        cache[claim.slot] = cache[claim.slot][: claim.kept]
        assert cache[claim.slot] == prompt[: claim.kept] == book.tokens(claim.slot)
        assert claim.kept < len(prompt)
        others = sum(len(tokens) for slot, tokens in cache.items() if slot != claim.slot)
        assert others + len(prompt) + 50 <= capacity
        book.tokens(claim.slot).extend(prompt[claim.kept :])
        cache[claim.slot] += prompt[claim.kept :]
        assert all(cache[slot] == book.tokens(slot) for slot in range(slots))


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_the_common_prefix_is_the_longest(a, b):
    n = common_prefix(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


def test_a_prompt_that_merely_starts_alike_is_forked_and_both_stay_warm():
    book = PrefixSlots(3, 10000)
    shared = [1] * 100
    for tail in (2, 3):
        prompt = shared + [tail] * 600
        claim = book.claim(prompt, 800)
        book.tokens(claim.slot).extend(prompt[claim.kept :])
    assert claim.fork_from is not None
    assert claim.kept == 100
    assert book.claim(shared + [2] * 600 + [9], 800).kept == 700
