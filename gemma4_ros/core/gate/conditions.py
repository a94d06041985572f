# SPDX-License-Identifier: Apache-2.0
"""What the moment says against steps of a tier: latch, locks, signs of life, signals, mode, where the robot is."""

from __future__ import annotations

from collections.abc import Iterator

from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.policy import MOTION, Policy, SignalRule
from gemma4_ros.core.gate.state import Latch, State, is_fresh
from gemma4_ros.core.gate.verdict import Deny, Hold, Verdict
from gemma4_ros.core.gate.zones import Point
from gemma4_ros.core.schemas import RISKS

__all__ = ['conditions', 'signal_problem']


def conditions(policy: Policy, state: State, tier: int, now: float) -> Iterator[Verdict]:
    """Yield what the moment says against steps up to this tier, in the order of the rules."""
    yield from _latches(state, tier)
    if state.latch is Latch.DISARMED:
        yield Hold(Code.DISARMED, 'state.disarmed', 'the gate is disarmed; arm it: gemma4 gate arm')
    if now > state.expires_s:
        yield Hold(Code.POLICY_EXPIRED, 'policy.expires', f'the policy expired on {policy.expires}; load a new one')
    if state.deadman_tripped or not is_fresh(state.deadman_at_s, now, policy.deadman_lease_s):
        what = 'has tripped; reset it' if state.deadman_tripped else 'is not running'
        yield Hold(Code.DEADMAN, 'policy.leases.deadman', f'the deadman {what}')
    if state.lease_lapsed:
        yield Hold(Code.EXECUTOR_LEASE, 'policy.leases.executor', 'the executor went silent; arm again')
    for rule in policy.signals.values():
        problem = signal_problem(rule, state, now) if tier >= rule.needed_from else None
        if problem is not None:
            yield problem
    yield from _mode(policy, state, tier)
    if policy.zones is not None and tier >= MOTION:
        yield from _place(policy, state)


def _latches(state: State, tier: int) -> Iterator[Verdict]:
    if state.latch is Latch.STOPPED:
        yield Deny(Code.STOPPED, 'state.stopped', f'stopped: {state.stop_text}; a person must reset the gate')
    estop = state.signals.get('estop')
    if estop is not None and estop.value is not False:
        yield Deny(Code.ESTOP, 'policy.signals.estop', 'the emergency stop is pressed')
    if not state.audit_ok:
        yield Deny(Code.AUDIT, 'state.audit', 'the audit log cannot be written; free the disk')
    if state.locks and tier >= MOTION:
        lock = state.locks[0]
        text = f'{lock.person} has locked the robot ({lock.reason}); only they take it off: gemma4 gate lockout clear'
        yield Deny(Code.LOCKED_OUT, 'state.lockout', text)


def signal_problem(rule: SignalRule, state: State, now: float) -> Hold | None:
    """Say why a signal does not count as fresh, or None."""
    where, value = f'policy.signals.{rule.name}', state.signals.get(rule.name)
    if value is None:
        return Hold(Code.SIGNAL_MISSING, where, f'no {rule.name} seen on {rule.topic}')
    if not is_fresh(value.at_s, now, rule.max_age_s):
        text = f'{rule.name} is {now - value.at_s:.1f} s old; at most {rule.max_age_s:g} s'
        return Hold(Code.SIGNAL_STALE, where, text)
    moved_at_s = value.at_s if value.moved_at_s is None else value.moved_at_s
    if not is_fresh(moved_at_s, now, rule.frozen_after_s):
        text = f'the stamp of {rule.name} has stood still for {now - moved_at_s:.1f} s'
        return Hold(Code.SIGNAL_FROZEN, where, text)
    return None


def _mode(policy: Policy, state: State, tier: int) -> Iterator[Verdict]:
    mode = state.signals.get('mode')
    if mode is not None and policy.modes.get(str(mode.value), -1) < tier:
        name = mode.value if mode.value in policy.modes else 'unknown'
        yield Hold(Code.MODE, f'policy.modes.{name}', f'the mode {name} does not allow steps of risk {RISKS[tier]!r}')


def _place(policy: Policy, state: State) -> Iterator[Verdict]:
    """Say what is wrong with where the robot is; that its pose is there and fresh is the signal's own rule."""
    assert policy.zones is not None
    pose = state.signals.get(policy.zones.signal)
    if pose is None or not isinstance(pose.value, Point):
        yield Hold(Code.PLACE, 'policy.zones', f'{policy.zones.signal} says no position')
        return
    problem, area = policy.zones.problem(pose.value)
    if problem:
        where, hazard = ('policy.zones', '') if area is None else (f'policy.zones.areas.{area.name}', area.hazard)
        yield Hold(Code.PLACE, where, f'the robot stands wrong: {problem}', hazard)
