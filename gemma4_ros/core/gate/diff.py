# SPDX-License-Identifier: Apache-2.0
"""What two policies decide differently, over a corpus of plans. The running gate does not use it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gemma4_ros.core.gate.bind import Catalogue
from gemma4_ros.core.gate.monitor import Monitor
from gemma4_ros.core.gate.ordinary import ordinary_state
from gemma4_ros.core.gate.policy import CHANNELS, Policy
from gemma4_ros.core.gate.state import State, Value
from gemma4_ros.core.gate.verdict import NeedsApproval, Verdict
from gemma4_ros.core.plan import Plan, Step, plan_to_bytes
from gemma4_ros.core.tools import Arg, Tool

__all__ = ['Change', 'corpus', 'diff', 'shown']

MODES = ('AUTO', 'MANUAL', 'MAINTENANCE')
MOST_OF_A_TOOL = 256  # steps of one tool in the corpus
NOW = 1000.0


@dataclass(frozen=True, slots=True)
class Change:
    """One plan that is decided differently now."""

    plan: str
    channel: str
    mode: str
    before: Verdict
    after: Verdict


class _Nowhere:
    def note(self, kind: str, data: Mapping[str, Any]) -> None:
        """Keep nothing: nothing is decided here."""


def corpus(catalogue: Catalogue) -> Iterator[tuple[str, bytes]]:
    """Yield one-step plans of every tool: every name an argument takes, and the ends and the middle of numbers."""
    for tool in catalogue.toolset.tools.values():
        if tool.draft:
            continue
        for args in itertools.islice(_arguments(tool), MOST_OF_A_TOOL):
            step = Step('s1', tool.name, args)
            yield str(step), plan_to_bytes(Plan('corpus', step))


def _arguments(tool: Tool) -> Iterator[dict[str, Any]]:
    values = [_values(arg) for arg in tool.args.values()]
    for chosen in itertools.product(*values):
        yield dict(zip(tool.args, chosen, strict=True))


def _values(arg: Arg) -> list[Any]:
    if arg.type == 'enum':
        return list(arg.values)
    if arg.type == 'boolean':
        return [False, True]
    middle = arg.low + (arg.high - arg.low) / 2
    places = {arg.low, arg.low + (middle - arg.low) / 2, middle, middle + (arg.high - middle) / 2, arg.high}
    return sorted({int(place) for place in places} if arg.type == 'integer' else places)


def diff(old: Policy, new: Policy, catalogue: Catalogue, plans: Mapping[str, bytes]) -> list[Change]:
    """Judge every plan under both policies, in every channel and mode of an ordinary moment; return the differences."""
    return [
        Change(name, CHANNELS[channel], mode, before, after)
        for (name, raw), channel, mode in itertools.product(plans.items(), range(len(CHANNELS)), MODES)
        for before, after in [[_judged(policy, catalogue, raw, channel, mode) for policy in (old, new)]]
        if _essence(before) != _essence(after)
    ]


def _judged(policy: Policy, catalogue: Catalogue, raw: bytes, channel: int, mode: str) -> Verdict:
    monitor = Monitor(policy, catalogue, 'offline', lambda: 'offline', _Nowhere())
    state = _in_mode(ordinary_state(policy, catalogue.world, NOW), mode)
    monitor.moment.state = state
    return monitor.admit(raw, 'operator', channel, NOW).verdict


def _in_mode(state: State, mode: str) -> State:
    return replace(state, signals={**state.signals, 'mode': Value(mode, NOW, NOW)})


def _essence(verdict: Verdict) -> tuple[object, ...]:
    needs = (verdict.confirm, verdict.people, verdict.roles) if isinstance(verdict, NeedsApproval) else ()
    return (verdict.name, int(verdict.code), *needs)


def shown(verdict: Verdict) -> str:
    """Return a verdict in a few words."""
    if isinstance(verdict, NeedsApproval):
        roles = f' of {", ".join(sorted(verdict.roles))}' if verdict.roles else ''
        wants = ['a confirmation'] if verdict.confirm else []
        return f'needs {" and ".join([*wants, *([f"{verdict.people} people{roles}"] if verdict.people else [])])}'
    return verdict.name if not verdict.code else f'{verdict.name} {int(verdict.code)} ({verdict.rule})'
