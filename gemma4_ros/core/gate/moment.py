# SPDX-License-Identifier: Apache-2.0
"""The state of the moment and what changes it: people, stops, signals, signs of life. A new epoch kills permits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from gemma4_ros.core.gate.approvals import check_person
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.conditions import conditions
from gemma4_ros.core.gate.policy import Policy
from gemma4_ros.core.gate.state import Latch, Lock, State, Value, is_fresh
from gemma4_ros.core.gate.verdict import Allow, Deny, Hold, Refused, Verdict, refuse
from gemma4_ros.core.gate.zones import Point

__all__ = ['Journal', 'Moment']

CLOCK_JUMP_S = 1.0
MAX_LOCKS = 64


class Journal(Protocol):
    """Takes what happened, in order; making it durable before anything is sent is the caller's business."""

    def note(self, kind: str, data: Mapping[str, Any]) -> None:
        """Take one record; never blocks, never raises."""
        ...


class Moment:
    """
    Latch, epoch, signals and signs of life.

    Parameters
    ----------
    policy : Policy
        Says what is fresh.
    journal : Journal
        Gets every change.
    on_epoch : callable
        Called after the epoch has risen.

    """

    def __init__(self, policy: Policy, journal: Journal, on_epoch: Callable[[], None]) -> None:
        self.policy, self.state = policy, State()
        self._journal, self._on_epoch = journal, on_epoch
        self._stamps: dict[str, float] = {}
        self._wall_offset_s: float | None = None
        self._jump_s = 0.0

    def note(self, kind: str, now: float, verdict: Verdict, **data: Any) -> None:
        """Journal something with the verdict that belongs to it."""
        said = {'decision': verdict.name, 'code': int(verdict.code), 'rule': verdict.rule, 'text': verdict.text}
        self._journal.note(kind, {'steady_s': round(now, 6), 'epoch': self.state.epoch, **said, **data})

    def inputs(self, now: float) -> dict[str, list[object]]:
        """Return every signal with its age in s, for the journal."""
        shown = {name: (_plain(value.value), now - value.at_s) for name, value in self.state.signals.items()}
        return {name: [value, round(age_s, 3)] for name, (value, age_s) in shown.items()}

    def stop(self, code: Code, text: str, now: float) -> bool:
        """Latch a stop; everything dies. Return whether this was the one that stopped."""
        first = self.state.latch is not Latch.STOPPED
        if first:
            self.state = replace(self.state, latch=Latch.STOPPED, stop_code=code, stop_text=ascii(text)[1:-1][:200])
            self._raise_epoch()
        self.note('stop', now, Deny(code, 'state.stopped', ascii(text)[1:-1][:200]), first=first)
        return first

    def signal(
        self, name: str, value: str | bool | float | Point | None, now: float, stamp_s: float | None = None
    ) -> None:
        """Take a signal of the robot, with the steady time of its receipt and, where it has one, its own stamp."""
        before = self.state.signals.get(name)
        last_s = self._stamps.get(name)
        moved_at_s = now if before is None or stamp_s is None else before.moved_at_s
        if stamp_s is not None and (last_s is None or stamp_s > last_s or stamp_s < last_s - CLOCK_JUMP_S):
            self._stamps[name], moved_at_s = stamp_s, now
        self.state = replace(self.state, signals={**self.state.signals, name: Value(value, now, moved_at_s)})
        if name == 'estop' and value is not False and self.state.latch is not Latch.STOPPED:
            self.stop(Code.ESTOP, 'the emergency stop was pressed', now)
        if name == 'mode' and before is not None and before.value != value:
            self._raise_epoch()
            self.note('mode', now, Allow(), before=str(before.value)[:32], after=str(value)[:32])

    def alive(self, name: str, now: float) -> None:
        """Learn that the publisher of a signal lives, though it says nothing new."""
        value = self.state.signals.get(name)
        if value is not None:
            self.state = replace(self.state, signals={**self.state.signals, name: replace(value, at_s=now)})

    def clock(self, wall_offset_s: float, now: float) -> bool:
        """
        Compare wall and steady clock; a jump of over a second raises the epoch. Return whether there was one.

        Parameters
        ----------
        wall_offset_s : float
            Wall minus steady time, both read at once; a jump counts when two calls in a row see it, as a process that
            got no time between its two readings sees one that is none.
        now : float
            Steady time, s.

        """
        if self._wall_offset_s is None:
            self._wall_offset_s = wall_offset_s
        jump_s, before_s = wall_offset_s - self._wall_offset_s, self._jump_s
        self._jump_s = jump_s if abs(jump_s) > CLOCK_JUMP_S else 0.0
        if not self._jump_s or abs(jump_s - before_s) > CLOCK_JUMP_S:
            return False
        self._wall_offset_s, self._jump_s = wall_offset_s, 0.0
        self._raise_epoch()
        self.note('clock', now, Deny(Code.CLOCK, 'state.clock', f'the clock jumped by {jump_s:.1f} s'))
        return True

    def restore(self, locks: tuple[Lock, ...], expires_s: float) -> None:
        """Take what outlived the last start: lock-outs; and when the policy expires, s of the steady clock."""
        self.state = replace(self.state, locks=locks, expires_s=expires_s)

    def lock(self, person: str, reason: str, now: float) -> None:
        """Put a person's lock on: nothing moves until the same person takes it off."""
        check_person(person)
        locks = tuple(lock for lock in self.state.locks if lock.person != person)
        self._require(len(locks) < MAX_LOCKS, f'{MAX_LOCKS} locks are on already')
        self._set_locks((*locks, Lock(person, ascii(reason)[1:-1][:200])), person, now)

    def unlock(self, person: str, now: float) -> None:
        """Take the own lock off."""
        locks = tuple(lock for lock in self.state.locks if lock.person != person)
        held = ', '.join(lock.person for lock in self.state.locks) or 'nobody'
        self._require(locks != self.state.locks, f'no lock of {ascii(person)[1:-1]} is on; locks are on of {held}')
        self._set_locks(locks, person, now)

    def _set_locks(self, locks: tuple[Lock, ...], person: str, now: float) -> None:
        self.state = replace(self.state, locks=locks)
        self._raise_epoch()
        self.note('lockout', now, Allow(), person=person, locks=[[lock.person, lock.reason] for lock in locks])

    def deadman(self, now: float, tripped: bool | None = None) -> None:
        """Take a sign of life of the deadman, or (``tripped``) its own state."""
        if tripped is None:
            self.state = replace(self.state, deadman_at_s=now)
            return
        self.state = replace(self.state, deadman_tripped=tripped)
        if tripped and self.state.latch is Latch.ARMED:
            self.stop(Code.DEADMAN, 'the deadman tripped', now)

    def executor(self, now: float) -> None:
        """Take a sign of life of the executor."""
        self.state = replace(self.state, executor_at_s=now)

    def audit(self, is_ok: bool) -> None:
        """Learn whether the audit log can be written."""
        if is_ok is not self.state.audit_ok:
            self.state = replace(self.state, audit_ok=is_ok)

    def check_deadman(self, now: float) -> None:
        """Stop when the deadman has gone silent while armed."""
        if self.state.latch is Latch.ARMED and not is_fresh(self.state.deadman_at_s, now, self.policy.deadman_lease_s):
            self.stop(Code.DEADMAN, 'the deadman went silent', now)

    def lapse(self, now: float) -> None:
        """Hold until a person arms again: the executor went silent during a plan."""
        self.state = replace(self.state, lease_lapsed=True)
        verdict = Hold(Code.EXECUTOR_LEASE, 'policy.leases.executor', 'the executor went silent during a plan')
        self.note('lease', now, verdict)

    def arm(self, person: str, now: float) -> None:
        """Arm; raise Refused where something speaks against it."""
        check_person(person)
        self._require(self.state.latch is not Latch.STOPPED, f'stopped: {self.state.stop_text}; reset it first')
        trial = replace(self.state, latch=Latch.ARMED, lease_lapsed=False)
        problem = next((item for item in conditions(self.policy, trial, 0, now) if item.code is not Code.MODE), None)
        if problem is not None:
            raise Refused(problem)
        self._latch(Latch.ARMED, person, now)

    def disarm(self, person: str, now: float) -> None:
        """Disarm; whatever runs is cancelled. Always possible, but for a latched stop."""
        check_person(person)
        self._require(self.state.latch is not Latch.STOPPED, 'stopped already; reset it to disarm')
        self._latch(Latch.DISARMED, person, now)

    def shut(self, now: float) -> None:
        """Disarm because the process ends; a latched stop stays one."""
        if self.state.latch is Latch.ARMED:
            self._latch(Latch.DISARMED, 'shutdown', now)

    def reset(self, person: str, now: float) -> None:
        """Clear a latched stop: DISARMED afterwards. Refused while the emergency stop is pressed."""
        check_person(person)
        self._require(self.state.latch is Latch.STOPPED, 'nothing to reset: the gate is not stopped')
        estop = self.state.signals.get('estop')
        self._require(estop is None or estop.value is False, 'release the emergency stop first')
        self._latch(Latch.DISARMED, person, now)

    def _require(self, holds: bool, text: str) -> None:
        if not holds:
            raise refuse(Code.ARM_REFUSED, 'state.latch', text)

    def _latch(self, latch: Latch, person: str, now: float) -> None:
        self.state = replace(self.state, latch=latch, lease_lapsed=False, stop_text='')
        self._raise_epoch()
        self.note('latch', now, Allow(), person=person, state=latch.name)

    def _raise_epoch(self) -> None:
        self.state = replace(self.state, epoch=self.state.epoch + 1)
        self._on_epoch()


def _plain(value: object) -> object:
    return [value.x, value.y, value.frame] if isinstance(value, Point) else value
