# SPDX-License-Identifier: Apache-2.0
"""Conditions of a plan, decided by the gate from results that it recorded itself."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping

from gemma4_ros.core.gate.bind import Result
from gemma4_ros.core.gate.state import is_fresh
from gemma4_ros.core.plan import Condition, Scalar

__all__ = ['evaluate']

_OPERATORS: dict[str, Callable[[object, object], bool]] = {
    '<': operator.lt,  # type: ignore[dict-item]  # both sides are numbers; admission saw to that
    '<=': operator.le,  # type: ignore[dict-item]  # likewise
    '>': operator.gt,  # type: ignore[dict-item]  # likewise
    '>=': operator.ge,  # type: ignore[dict-item]  # likewise
    '==': operator.eq,
    '!=': operator.ne,
}


def evaluate(condition: Condition, results: Mapping[str, Result], now: float) -> tuple[bool | None, str]:
    """Return true, false, or None for hold; with the gate's own words. Unknown is what the plan says that it is."""
    result = results.get(condition.ref.step)
    value = None if result is None else result.values.get(condition.ref.name)
    if result is None or not _is_comparable(value, condition.value):
        return _unknown(condition, f'{condition.ref} was not recorded')
    age_s = now - result.at_s
    if not is_fresh(result.at_s, now, condition.max_age_s):
        return _unknown(condition, f'{condition.ref} is {age_s:.1f} s old; at most {condition.max_age_s:g} s')
    answer = _OPERATORS[condition.op](value, condition.value)
    unit = f' {condition.unit}' if condition.unit else ''
    asked = f'{condition.op} {_short(condition.value)}{unit}: {str(answer).lower()}'
    return answer, f'{condition.ref} = {_short(value)}{unit} ({age_s:.1f} s old) {asked}'


def _is_comparable(value: Scalar | None, other: Scalar) -> bool:
    if isinstance(value, bool) or isinstance(other, bool) or isinstance(value, str) or isinstance(other, str):
        return type(value) is type(other)
    return value is not None and math.isfinite(value)


def _unknown(condition: Condition, why: str) -> tuple[bool | None, str]:
    answer = {'hold': None, 'true': True, 'false': False}[condition.on_unknown]
    return answer, f'unknown, {why}: {condition.on_unknown}'


def _short(value: object) -> str:
    return f'{value:g}' if isinstance(value, float) else ascii(value)[:64]
