# SPDX-License-Identifier: Apache-2.0
"""Error codes of controllers in words."""

from __future__ import annotations

from typing import Any

import pytest

from gemma4_ros.core.controller_words import explain

NAV, ARM = 'nav2_msgs/action/NavigateToPose', 'moveit_msgs/action/MoveGroup'
JOINTS = 'control_msgs/action/FollowJointTrajectory'
BLOCKED = 'something is in the way; clear it or go another way'
SETUP = 'its configuration is wrong; an integrator must look'


@pytest.mark.parametrize(
    ('kind', 'result', 'says'),
    [
        (NAV, {'error_code': 208, 'error_msg': ''}, f'there is no way to the goal: {BLOCKED}'),
        (
            NAV,
            {'error_code': 904, 'error_msg': 'x'},
            'the dock was not seen; check that it is there, clean and lit (x)',
        ),
        (NAV, {'error_code': 31337, 'error_msg': 'odd'}, 'odd'),
        (NAV, {'error_code': True}, ''),
        (NAV, {}, ''),
        (ARM, {'error_code': {'val': -31}}, 'the pose is out of reach (no inverse kinematics)'),
        (ARM, {'error_code': {'val': -22, 'message': 'x'}}, f'collisions cannot be checked: {SETUP} (x)'),
        (
            JOINTS,
            {'error_code': -5, 'error_string': 'joint 2'},
            'the arm did not reach the end closely enough (joint 2)',
        ),
        (JOINTS, {'error_code': 208}, ''),
        ('my_msgs/action/Own', {'error_code': 208, 'error_msg': 'own words'}, 'own words'),
        ('std_srvs/srv/Trigger', {'success': False, 'message': 'busy'}, 'busy'),
    ],
)
def test_a_result_becomes_a_sentence(kind: str, result: dict[str, Any], says: str) -> None:
    assert explain(kind, result) == says
