# SPDX-License-Identifier: Apache-2.0
"""Zones: margins, borders and frames; at admission, when a reference is resolved, and while a step runs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hand_gate import HandGate, load
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4_ros.core.gate import policy as policies
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.decide import Case, decide
from gemma4_ros.core.gate.policy import Approval, ArgumentRule, Policy, Post, SignalRule, ToolRule
from gemma4_ros.core.gate.policy_file import make_area
from gemma4_ros.core.gate.verdict import Refused, Verdict
from gemma4_ros.core.gate.zones import Area, Point, Zones, end_of
from gemma4_ros.core.plan import Ref, Sequence, Step

SHIPPED, CATALOGUE = load()
SQUARE = [(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0)]


def area(name: str, polygon: Any = SQUARE, margin_m: float = 0.0, *, keep_out: bool = False, hazard: str = '') -> Area:
    return make_area(name, polygon, margin_m, hazard, is_keep_out=keep_out)


def zones(*areas: Area) -> Zones:
    return Zones('map', 'pose', areas)


def is_free(here: Zones, x: float, y: float, frame: str = 'map') -> bool:
    return here.problem(Point(x, y, frame)) == ('', None)


# Geometry ------------------------------------------------------------------------------------------------------------
def test_border_of_an_allowed_area_is_outside_and_of_a_keep_out_area_inside() -> None:
    allowed, forbidden = zones(area('hall')), zones(area('pit', keep_out=True))
    for x, y in ((0.0, 2.0), (4.0, 2.0), (2.0, 0.0), (4.0, 4.0)):
        assert not is_free(allowed, x, y) and not is_free(forbidden, x, y)
    assert is_free(allowed, 1e-9, 2.0) and not is_free(allowed, -1e-9, 2.0)
    assert is_free(forbidden, -1e-9, 2.0) and not is_free(forbidden, 1e-9, 2.0)


def test_margin_insets_what_is_allowed_and_inflates_what_is_not() -> None:
    allowed, forbidden = zones(area('hall', margin_m=0.5)), zones(area('pit', margin_m=0.5, keep_out=True))
    assert is_free(allowed, 0.501, 2.0) and not is_free(allowed, 0.499, 2.0)
    assert is_free(forbidden, -0.501, 2.0) and not is_free(forbidden, -0.499, 2.0)
    corner = 0.5 / math.sqrt(2.0)  # a rounded corner: as far from the corner as from an edge
    assert not is_free(forbidden, -corner + 0.002, -corner + 0.002) and is_free(
        forbidden, -corner - 0.001, -corner - 0.001
    )


def test_one_allowed_area_is_enough_and_a_keep_out_area_wins() -> None:
    right = [(4.0, 0.0), (8.0, 0.0), (8.0, 4.0), (4.0, 4.0)]
    here = zones(
        area('left'), area('right', right), area('pit', [(6, 1), (7, 1), (7, 2), (6, 2)], keep_out=True, hazard='h1')
    )
    assert is_free(here, 2.0, 2.0) and is_free(here, 5.0, 2.0)
    assert not is_free(here, 4.0, 2.0)  # on the borders of both: in neither
    text, said = here.problem(Point(6.5, 1.5, 'map'))
    assert text == '6.50, 1.50 m is in the keep-out zone pit' and said is not None and said.hazard == 'h1'
    text, said = here.problem(Point(9.0, 2.0, 'map'))
    assert text == '9.00, 2.00 m is outside of left, right' and said is not None and said.name == 'left'


def test_without_allowed_areas_everything_but_the_keep_out_is_free() -> None:
    here = zones(area('pit', keep_out=True))
    assert is_free(here, 1e6, -1e6)
    assert here.problem(Point(1e9, 0.0, 'map')) == ('a pose that is no place', None)
    assert here.problem(Point(0.0, -1e9, 'map'))[0] == 'a pose that is no place'


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
def test_pose_that_is_no_place_is_in_no_allowed_area(bad: float) -> None:
    for here in (zones(area('hall')), zones(area('pit', keep_out=True)), zones()):
        for x, y in ((bad, 2.0), (2.0, bad), (bad, bad)):
            assert not is_free(here, x, y)


def test_pose_in_another_frame_is_wrong_everywhere() -> None:
    here = zones(area('hall'))
    for frame in ('odom', '', 'Map', 'map '):
        text, said = here.problem(Point(2.0, 2.0, frame))
        assert text == f'a pose in frame {frame!a}; the zones are in {"map"!a}' and said is None


@pytest.mark.parametrize(
    ('polygon', 'margin_m', 'said'),
    [
        ([(0, 0), (4, 4), (4, 0), (0, 4)], 0.0, 'no simple polygon: Self-intersection'),
        ([(0, 0), (1, 1), (2, 2)], 0.0, 'no simple polygon'),
        ([(0, 0), (0, 0), (0, 0)], 0.0, 'no simple polygon'),
        (SQUARE, 2.0, 'nothing is left of it with a margin of 2 m'),
        (SQUARE, 2.5, 'nothing is left of it with a margin of 2.5 m'),
    ],
)
def test_polygon_that_is_none_or_of_which_nothing_is_left_is_refused(polygon: Any, margin_m: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        area('hall', polygon, margin_m)


def test_distance_between_frames_is_infinite() -> None:
    assert Point(0.0, 0.0, 'map').distance(Point(3.0, 4.0, 'map')) == 5.0
    assert Point(1.0, 1.0, 'map').distance(Point(4.0, 5.0, 'map')) == 5.0
    assert Point(0.0, 0.0, 'map').distance(Point(0.0, 0.0, 'odom')) == math.inf


@settings(max_examples=200, deadline=None)
@given(st.floats(-6.0, 10.0), st.floats(-6.0, 10.0), st.just(0.0) | st.floats(0.001, 1.9))
def test_margin_is_kept_to_the_straight_edges_of_a_square(x: float, y: float, margin_m: float) -> None:
    inside_m = min(x, y, 4.0 - x, 4.0 - y)  # negative outside, as far as an edge is nearest
    if abs(inside_m - margin_m) > 1e-6:
        assert is_free(zones(area('hall', margin_m=margin_m)), x, y) == (inside_m > margin_m)
    away_m = math.hypot(max(-x, 0.0, x - 4.0), max(-y, 0.0, y - 4.0))
    if abs(away_m - margin_m) > 0.0015 * margin_m + 1e-6:
        assert is_free(zones(area('pit', margin_m=margin_m, keep_out=True)), x, y) == (away_m > margin_m)


GOAL = {'pose': {'header': {'frame_id': 'map'}, 'pose': {'position': {'x': 3, 'y': 2.5, 'z': 0.0}}}}


def test_end_of_a_goal_is_read_from_its_pose() -> None:
    assert end_of(GOAL, 'pose') == Point(3.0, 2.5, 'map')
    assert end_of({'target': {'at': GOAL['pose']}}, 'target.at') == Point(3.0, 2.5, 'map')


@pytest.mark.parametrize('path', ['', 'other', 'pose.pose', 'pose.header.frame_id', 'pose.header.frame_id.x'])
def test_goal_without_a_pose_there_ends_nowhere(path: str) -> None:
    end = end_of(GOAL, path)
    assert math.isnan(end.x) and math.isnan(end.y) and end.frame == ''
    assert zones(area('pit', keep_out=True)).problem(end)[0]


def test_goal_whose_position_is_no_number_ends_nowhere() -> None:
    header = {'frame_id': 'map'}
    for position in ({'x': 'far', 'y': 1.0}, {'x': 1.0}, None, {'x': None, 'y': 1.0}):
        assert math.isnan(end_of({'pose': {'header': header, 'pose': {'position': position}}}, 'pose').x)


# The whole gate: pump at 3, 2; storage at -3, 2; valve_station at 3, -2 --------------------------------------------
HALL = area('hall', [(-4, -4), (4, -4), (4, 4), (-4, 4)], 0.5)
PIT = area('pit', [(2, -3), (4, -3), (4, -1), (2, -1)], 0.2, keep_out=True, hazard='h9')
PLACES = ArgumentRule(None, frozenset(), -math.inf, math.inf, '', frozenset({'camera'}))
TOOLS = {
    'navigate_to': ToolRule('navigate_to', 2, 'h1', {'place': PLACES}, ends_at='pose'),
    'move_arm': ToolRule('move_arm', 2, 'h2', {}),
    'take_photo': ToolRule('take_photo', 0, '', {}, trust='camera'),
}
POLICY: Policy = replace(
    SHIPPED,
    tools=TOOLS,
    signals={
        'mode': SignalRule('mode', 'mode', 'std_msgs/msg/String', 'data', 2.0, 0),
        'estop': SignalRule('estop', 'estop', 'std_msgs/msg/Bool', 'data', 1.0, 0),
        'pose': SignalRule('pose', 'odom', 'nav_msgs/msg/Odometry', '', 0.5, 2),
    },
    approvals={(tier, channel): Approval(False, 0) for tier in range(4) for channel in ('typed', 'speech')},
    zones=zones(HALL, PIT),
    sequences=(),
    people={},
)


class Hall(HandGate):
    """A gate whose robot stands somewhere."""

    here: object = Point(0.0, 0.0, 'map')

    def live(self) -> None:
        super().live()
        if 'pose' not in self.silent:
            self.monitor.moment.signal('pose', self.here, self.now)  # type: ignore[arg-type]


def hall(**changes: Any) -> Hall:
    gate = Hall(POLICY, CATALOGUE, **changes)
    gate.arm()
    return gate


def drive(place: str, name: str = 'd') -> Step:
    return Step(name, 'navigate_to', {'place': place})


def facts(verdict: Verdict) -> tuple[str, Code, str, str]:
    return verdict.name, verdict.code, verdict.rule, verdict.hazard


def refused(gate: HandGate, *nodes: Step) -> Verdict:
    with pytest.raises(Refused) as caught:
        gate.permit(*nodes)
    return caught.value.verdict


IN_PIT = ('deny', Code.ZONE, 'policy.zones.areas.pit', 'h9')


def test_goal_in_a_keep_out_zone_is_denied_at_admission() -> None:
    assert hall().permit(drive('pump'), drive('storage', 'e'))
    verdict = refused(hall(), drive('pump'), drive('valve_station', 'e'))
    assert facts(verdict) == IN_PIT
    assert verdict.text == 'e ends wrong: 3.00, -2.00 m is in the keep-out zone pit'


def test_goal_outside_of_what_is_allowed_or_in_another_frame_is_denied() -> None:
    small = area('small', [(0, 0), (4, 0), (4, 4), (0, 4)], 0.1, hazard='h8')
    assert facts(refused(hall(zones=zones(small)), drive('storage'))) == (
        'deny',
        Code.ZONE,
        'policy.zones.areas.small',
        'h8',
    )
    elsewhere = hall(zones=Zones('odom', 'pose', (HALL,)))
    elsewhere.here = Point(0.0, 0.0, 'odom')
    elsewhere.live()
    assert facts(refused(elsewhere, drive('pump'))) == ('deny', Code.ZONE, 'policy.zones', '')


def test_tool_without_an_end_and_policy_without_zones_are_not_held_against_them() -> None:
    assert hall().permit(Step('a', 'move_arm', {'posture': 'ready'}))
    assert hall(zones=None).permit(drive('valve_station'))
    tools = {**TOOLS, 'navigate_to': replace(TOOLS['navigate_to'], ends_at='')}
    assert hall(tools=tools).permit(drive('valve_station'))


def test_end_of_a_resolved_reference_is_judged_before_the_dispatch() -> None:
    steps = (Step('t', 'take_photo', {'target': 'pump'}), Step('d', 'navigate_to', {'place': Ref('t', 'file')}))
    for place, answer in (('pump', None), ('valve_station', IN_PIT)):
        gate = hall()
        permit = gate.permit(*steps)
        gate.monitor.finish(gate.dispatch(permit, 't'), True, {'file': place}, gate.now)
        if answer is None:
            gate.dispatch(permit, 'd')
            continue
        with pytest.raises(Refused) as caught:
            gate.dispatch(permit, 'd')
        assert facts(caught.value.verdict) == answer and len(gate.sent) == 1


def stand(gate: Hall, here: object) -> None:
    gate.here = here
    gate.live()


@pytest.mark.parametrize(
    ('here', 'rule', 'hazard', 'said'),
    [
        (Point(3.0, -2.0, 'map'), 'policy.zones.areas.pit', 'h9', 'in the keep-out zone pit'),
        (Point(3.6, 0.0, 'map'), 'policy.zones.areas.hall', '', 'outside of hall'),
        (Point(0.0, 0.0, 'odom'), 'policy.zones', '', 'in frame'),
        (Point(math.nan, 0.0, 'map'), 'policy.zones.areas.hall', '', 'outside of hall'),
        (None, 'policy.zones', '', 'pose says no position'),
        ('here', 'policy.zones', '', 'pose says no position'),
    ],
)
def test_robot_that_stands_wrong_moves_no_further(here: object, rule: str, hazard: str, said: str) -> None:
    gate = hall()
    permit = gate.permit(drive('pump'), drive('storage', 'e'))
    ticket = gate.dispatch(permit, 'd')
    assert gate.monitor.must_end(ticket, gate.now) is None
    stand(gate, here)
    found = gate.monitor.must_end(ticket, gate.now)
    assert found is not None and facts(found) == ('hold', Code.PLACE, rule, hazard) and said in found.text
    gate.monitor.finish(ticket, True, {}, gate.now)
    with pytest.raises(Refused) as caught:
        gate.dispatch(permit, 'e')
    assert facts(caught.value.verdict) == ('hold', Code.PLACE, rule, hazard) and len(gate.sent) == 1
    stand(gate, Point(0.0, 0.0, 'map'))
    gate.dispatch(permit, 'e')


def test_robot_that_stands_wrong_may_still_read() -> None:
    gate = hall()
    stand(gate, Point(3.0, -2.0, 'map'))
    permit = gate.permit(Step('t', 'take_photo', {'target': 'pump'}))
    gate.dispatch(permit, 't')
    assert facts(refused(hall_at_pit(), drive('pump'))) == ('hold', Code.PLACE, 'policy.zones.areas.pit', 'h9')


def hall_at_pit() -> Hall:
    gate = hall()
    stand(gate, Point(3.0, -2.0, 'map'))
    return gate


def test_lost_pose_holds_before_the_zones_are_asked() -> None:
    gate = hall()
    ticket = gate.dispatch(gate.permit(drive('pump')), 'd')
    gate.silent.add('pose')
    gate.later(0.6)
    found = gate.monitor.must_end(ticket, gate.now)
    assert found is not None and facts(found) == ('hold', Code.SIGNAL_STALE, 'policy.signals.pose', '')


def test_wrong_end_outweighs_a_hold() -> None:
    gate = hall_at_pit()
    case = Case((drive('pump'),), 'anna', 0, ends={'d': Point(3.0, -2.0, 'map')}, root=Sequence((drive('pump'),)))
    assert facts(decide(gate.monitor.policy, gate.monitor.state, case, None, gate.now)) == IN_PIT


def test_success_is_believed_when_the_pose_shows_it() -> None:
    post = Post(policies.Test('pose'), 0.5, 2.0)
    gate = hall(tools={**TOOLS, 'navigate_to': replace(TOOLS['navigate_to'], post=post)})
    ticket = gate.dispatch(gate.permit(drive('pump')), 'd')
    assert ticket.end == Point(3.0, 2.0, 'map')
    since_s = gate.now
    assert gate.monitor.post_problem(ticket, since_s) == 'no new pose after the step'
    gate.now += 0.1
    for here, said in (
        (Point(3.0, 2.5, 'map'), ''),
        (Point(3.0, 2.51, 'map'), 'pose is 0.51 m from the goal'),
        (Point(3.0, 2.0, 'odom'), 'pose is inf m from the goal'),
        (Point(math.nan, 2.0, 'map'), 'pose is nan m from the goal'),
        (None, 'pose is inf m from the goal'),
    ):
        stand(gate, here)
        assert gate.monitor.post_problem(ticket, since_s) == said
