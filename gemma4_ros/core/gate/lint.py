# SPDX-License-Identifier: Apache-2.0
"""What in a valid policy is useless, contradictory or wider than it looks. The running gate does not use it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from gemma4_ros.core.gate.bind import Catalogue
from gemma4_ros.core.gate.policy import MOTION, ArgumentRule, Policy
from gemma4_ros.core.gate.zones import Point
from gemma4_ros.core.schemas import RISKS
from gemma4_ros.core.tools import Arg

__all__ = ['lint']

WIDE_SIGNAL_S = 5.0
_UNCHECKED = ('FollowJointTrajectory', 'ExecuteTrajectory')
_UNDER = ('SwitchController', 'LoadController', 'UnloadController', 'ConfigureController', 'SetHardwareComponentState')
WIDE_PERMIT_S = 4 * 3600.0


def lint(policy: Policy, catalogue: Catalogue) -> list[str]:
    """Return one sentence a finding, with the rule's id in front."""
    return [
        *_tools(policy, catalogue),
        *_raw(policy, catalogue),
        *_approvals(policy),
        *_modes(policy),
        *_signals(policy, catalogue),
        *_times(policy),
        *_zones(policy, catalogue),
        *_preconditions(policy),
        *_limits(policy, catalogue),
        *_sequences(policy),
        *_people(policy),
    ]


def _tools(policy: Policy, catalogue: Catalogue) -> Iterator[str]:
    for name in catalogue.toolset.tools:
        if name not in policy.tools:
            yield f'policy.tools: {name} is not listed, so no plan may use it'
    used = {rule.hazard for rule in policy.tools.values()}
    for hazard in policy.hazards:
        if hazard not in used:
            yield f'policy.hazards.{hazard}: no tool brings it'
    for rule in policy.tools.values():
        for recovery in catalogue.toolset.tools[rule.name].recover:
            if recovery not in policy.tools:
                yield f'policy.tools.{rule.name}: its recovery {recovery} is not listed: plans with it are denied'
        for name, limits in rule.args.items():
            yield from _argument(
                f'policy.tools.{rule.name}.args.{name}', limits, catalogue.toolset.tools[rule.name].args[name]
            )


def _raw(policy: Policy, catalogue: Catalogue) -> Iterator[str]:
    """Name tools that go past a planner or under the controllers."""
    for name in policy.tools:
        tool = catalogue.toolset.tools[name]
        what = tool.interface.type.rpartition('/')[2]
        if what in _UNCHECKED and not any(arg.named for arg in tool.args.values()):
            yield f'policy.tools.{name}: {what} moves joints as the goal says; let it take motions by name (named:)'
        if what in _UNDER:
            yield f'policy.tools.{name}: {what} changes the controllers themselves; a person does that'


def _argument(where: str, rule: ArgumentRule, arg: Arg) -> Iterator[str]:
    if arg.type == 'enum':
        left = (set(arg.values) if rule.allow is None else set(rule.allow)) - rule.deny
        if not left:
            yield f'{where}: nothing is left of it, so the tool cannot be used'
        elif left == set(arg.values) and (rule.allow is not None or not rule.sources):
            yield f'{where}: allows everything that the tool takes; it has no effect'
        if rule.allow is not None and rule.allow & rule.deny:
            yield f'{where}: {", ".join(sorted(rule.allow & rule.deny))} is allowed and denied; denied wins'
    elif rule.low <= arg.low and rule.high >= arg.high and (rule.unit or not rule.sources):
        yield f'{where}: is as wide as the tool itself; it has no effect'


def _approvals(policy: Policy) -> Iterator[str]:
    for channel in ('typed', 'speech'):
        for tier in range(1, len(RISKS)):
            lower, upper = policy.approvals[tier - 1, channel], policy.approvals[tier, channel]
            if upper.people < lower.people or (lower.confirm and not upper.confirm and not upper.people):
                yield f'policy.approvals.{RISKS[tier]}.{channel}: asks for less than {RISKS[tier - 1]} does'
    for tier, risk in enumerate(RISKS):
        typed, speech = policy.approvals[tier, 'typed'], policy.approvals[tier, 'speech']
        if speech.people < typed.people or (typed.confirm and not speech.confirm):
            yield f'policy.approvals.{risk}.speech: asks for less than typed does; anybody in the room can speak'
    if not (policy.approvals[2, 'speech'].confirm or policy.approvals[2, 'speech'].people):
        yield 'policy.approvals.motion.speech: a voice alone moves the robot'
    top = policy.approvals[3, 'typed']
    if not (top.confirm or top.people):
        yield 'policy.approvals.irreversible.typed: what cannot be undone is done without a question'


def _modes(policy: Policy) -> Iterator[str]:
    for mode in ('MANUAL', 'MAINTENANCE'):
        if policy.modes[mode] >= 2:
            yield f'policy.modes.{mode}: allows {RISKS[policy.modes[mode]]} while people work at the robot'
    if policy.modes['AUTO'] < max((rule.tier for rule in policy.tools.values()), default=0):
        yield f'policy.modes.AUTO: tools above {RISKS[policy.modes["AUTO"]]!r} are listed and can never be used'


def _signals(policy: Policy, catalogue: Catalogue) -> Iterator[str]:
    for rule in policy.signals.values():
        known = catalogue.world.signals.get(rule.name)
        if known is None:
            yield f'policy.signals.{rule.name}: the world has no such signal'
        elif (known.topic, known.type) != (rule.topic, rule.type):
            yield f'policy.signals.{rule.name}: the world has it as {known.type} on {known.topic}'
        if rule.max_age_s > WIDE_SIGNAL_S:
            yield f'policy.signals.{rule.name}: {rule.max_age_s:g} s old still counts as fresh'
        if rule.name in ('mode', 'estop') and rule.needed_from > 1:
            yield f'policy.signals.{rule.name}: steps below {RISKS[rule.needed_from]!r} go on without it'
    if not any(rule.needed_from <= 2 for rule in policy.signals.values() if rule.name not in ('mode', 'estop')):
        yield 'policy.signals: nothing but mode and estop is wanted for motion; a lost pose would go unseen'


def _times(policy: Policy) -> Iterator[str]:
    if policy.permit_ttl_s > WIDE_PERMIT_S:
        yield f'policy.permit.time_to_live_s: a permit lives {policy.permit_ttl_s / 3600:.1f} h'
    if policy.approval_ttl_s > 900:
        yield f'policy.approvals.time_to_live_s: a yes may come {policy.approval_ttl_s / 60:.0f} min after the question'


def _zones(policy: Policy, catalogue: Catalogue) -> Iterator[str]:
    zones, world = policy.zones, catalogue.world
    moving = {name: rule for name, rule in policy.tools.items() if rule.tier >= MOTION}
    if zones is None:
        return
    if zones.frame != world.frame:
        yield f'policy.zones.frame: the world is given in {world.frame!r}, so every goal is refused'
    for name in moving:
        yield from _unseen(name, _poses(catalogue.toolset.tools[name].goal), policy.tools[name].ends_at)
    for entity in world.entities.values():
        if entity.pose is None or zones.frame != world.frame:
            continue
        problem, _ = zones.problem(Point(entity.pose.x_m, entity.pose.y_m, world.frame))
        if problem:
            yield f'policy.zones: {entity.id} is never reached: {problem}'
    for area in zones.areas:
        over = [other.name for other in zones.areas if other.is_keep_out and other.shape.covers(area.shape)]
        if not area.is_keep_out and over:
            yield f'policy.zones.areas.{area.name}: lies wholly in the keep-out zone {over[0]}'


def _unseen(name: str, count: int, ends_at: str) -> Iterator[str]:
    if count and not ends_at:
        yield f'policy.tools.{name}: its goal has a pose, and without ends_at no zone is held against it'
    elif count > 1:
        yield f'policy.tools.{name}: its goal has {count} poses, and zones are held against one; allow few places'


def _poses(value: object) -> int:
    """Count the poses anywhere in the template of a goal."""
    if isinstance(value, dict) and not {'header', 'pose'} <= set(value):
        return sum(_poses(item) for item in value.values())
    return sum(_poses(item) for item in value) if isinstance(value, list) else int(isinstance(value, dict))


def _preconditions(policy: Policy) -> Iterator[str]:
    for rule in policy.tools.values():
        where = f'policy.tools.{rule.name}.when'
        strict = [when.test for when in rule.when if not when.caps]
        for one, two in itertools.combinations(strict, 2):
            apart = one.low > two.high or two.low > one.high or (one.equals is not None and one.equals != two.equals)
            if one.signal == two.signal and apart:
                yield f'{where}: {one.signal} can never be both, so the tool cannot be used'
        for when in rule.when:
            for name, cap in when.caps.items():
                limits = rule.args.get(name)
                if limits is not None and cap >= limits.high:
                    yield f'{where}: the cap of {name} at {cap:g} is as wide as its bounds; it has no effect'
                elif limits is not None and cap < limits.low:
                    yield f'{where}: the cap of {name} at {cap:g} is below its bounds; nothing passes it'


def _limits(policy: Policy, catalogue: Catalogue) -> Iterator[str]:
    for rule in policy.tools.values():
        tries = catalogue.toolset.tools[rule.name].retry_times + 1
        for limit in rule.limits:
            if not limit.of and limit.most < tries:
                text = f'{limit.most:g} uses within {limit.within_s:g} s are fewer than the {tries} tries of one step'
                yield f'policy.tools.{rule.name}.limits: {text}'


def _sequences(policy: Policy) -> Iterator[str]:
    for rule in policy.sequences:
        where = f'policy.sequences.{rule.name}'
        if rule.kind == 'never' and not rule.first.args:
            yield f'{where}: {rule.first.tool} is never allowed; leave it out of tools'
        if rule.kind in ('precedence', 'never_after', 'response') and rule.first == rule.then:
            yield f'{where}: first and then are the same'
        if rule.kind != 'never' and not rule.hazard:
            yield f'{where}: names no hazard, so nobody will know why it is there'


def _people(policy: Policy) -> Iterator[str]:
    asked = any(approval.people for approval in policy.approvals.values())
    if policy.people and not asked:
        yield 'policy.people: nobody of them is ever asked; approvals want no people'
    if asked and not policy.people:
        yield 'policy.people: is missing, so names are taken at their word'
