# SPDX-License-Identifier: Apache-2.0
"""Go through a plan in thought up to one step, and judge that. The running gate does not use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gemma4_ros.core.gate.monitor import Monitor
from gemma4_ros.core.gate.permits import Candidate, Permit
from gemma4_ros.core.gate.verdict import Allow, Refused, Verdict
from gemma4_ros.core.plan import Scalar

__all__ = ['rehearse']

MOST = 4096  # steps and conditions that are gone through


def rehearse(
    monitor: Monitor, candidate: Candidate, step_id: str, results: Mapping[str, Mapping[str, Scalar]], now: float
) -> Verdict:
    """
    Judge one step as just before its dispatch, in the state of the monitor.

    People are taken to have agreed, steps before it to have succeeded with the ``results`` given by step id.
    """
    try:
        permit = monitor.issue(replace(candidate, case=replace(candidate.case, agreed=True)), now)
        for _ in range(MOST):
            ready = permit.automaton.enabled(permit.progress)
            if step_id in ready or not ready or not _go_on(monitor, permit, min(ready), results, now):
                break
        monitor.confirm(monitor.authorise(permit.id, step_id, now), now)
    except Refused as refused:
        return refused.verdict
    return Allow()


def _go_on(
    monitor: Monitor, permit: Permit, node_id: str, results: Mapping[str, Mapping[str, Scalar]], now: float
) -> bool:
    if node_id.startswith('/'):
        return monitor.evaluate(permit.id, node_id, now)[0] is not None
    ticket = monitor.authorise(permit.id, node_id, now)
    monitor.confirm(ticket, now)
    monitor.finish(ticket, True, results.get(node_id, {}), now)
    return True
