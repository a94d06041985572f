# SPDX-License-Identifier: Apache-2.0
"""
What the error codes of Nav2, MoveIt 2 and ros2_control mean: for operators, and for a planner that tries again.

Sources: the constants of nav2_msgs (Kilted; its codes are unique over all of its actions, as bt_navigator passes on
those of planner, controller and behaviours), of moveit_msgs/MoveItErrorCodes and control_msgs/FollowJointTrajectory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ['explain']

_BLOCKED = 'something is in the way; clear it or go another way'
_TF = 'the robot does not know where it is (no transform); check localisation'
_SLOW = 'it took too long'
_SETUP = 'its configuration is wrong; an integrator must look'
_NAV2: Mapping[int, str] = {
    1: 'the server refused the goal; look at its log',
    2: 'the goal could not be sent on to the server behind it; check that it is active',
    100: 'path following failed',
    101: f'no such controller plugin: {_SETUP}',
    102: _TF,
    103: 'the path is not valid',
    104: f'the controller waited too long: {_BLOCKED}',
    105: f'the robot does not get on: {_BLOCKED}',
    106: f'no safe motion was found: {_BLOCKED}',
    107: f'the controller was too slow: {_SETUP}',
    200: 'no path could be planned',
    201: f'no such planner plugin: {_SETUP}',
    202: _TF,
    203: 'the robot stands outside of the map; check localisation',
    204: 'the goal lies outside of the map',
    205: 'the robot stands in an obstacle, as the map says; clear the costmap or move it by hand',
    206: 'the goal is occupied; clear it or choose another place',
    207: f'planning: {_SLOW}',
    208: f'there is no way to the goal: {_BLOCKED}',
    300: 'no path through the places could be planned',
    301: f'no such planner plugin: {_SETUP}',
    302: _TF,
    303: 'the robot stands outside of the map; check localisation',
    304: 'a goal lies outside of the map',
    305: 'the robot stands in an obstacle, as the map says; clear the costmap or move it by hand',
    306: 'a goal is occupied; clear it or choose another place',
    307: f'planning: {_SLOW}',
    308: f'there is no way through the places: {_BLOCKED}',
    309: 'no places were given',
    400: 'no route could be computed',
    401: _TF,
    402: f'there is no route graph: {_SETUP}',
    403: 'start or goal is not near one node of the route graph',
    404: f'the route: {_SLOW}',
    405: f'there is no route: {_BLOCKED}',
    406: 'an operation on the route failed',
    407: f'edge scorers: {_SETUP}',
    500: 'the path could not be smoothed',
    501: f'no such smoother plugin: {_SETUP}',
    502: f'smoothing: {_SLOW}',
    503: f'the smoothed path meets an obstacle: {_BLOCKED}',
    504: 'the path could not be smoothed',
    505: 'the path is not valid',
    600: 'following the waypoints failed',
    601: 'the task at a waypoint failed',
    602: 'no valid waypoints were given',
    603: f'a waypoint was missed, and the robot stops on that: {_BLOCKED}',
    700: 'turning failed',
    701: f'turning: {_SLOW}',
    702: _TF,
    703: f'turning would hit something: {_BLOCKED}',
    710: 'backing up failed',
    711: f'backing up: {_SLOW}',
    712: _TF,
    713: 'backing up: distance or speed is not valid',
    714: f'backing up would hit something: {_BLOCKED}',
    720: 'driving ahead failed',
    721: f'driving ahead: {_SLOW}',
    722: _TF,
    723: f'driving ahead would hit something: {_BLOCKED}',
    724: 'driving ahead: distance or speed is not valid',
    730: 'assisted driving failed',
    731: f'assisted driving: {_SLOW}',
    732: _TF,
    740: 'waiting failed',
    741: f'waiting: {_SLOW}',
    901: 'the dock is not in the database of docks',
    902: 'the dock is of no type that the server knows',
    903: f'the place before the dock was not reached: {_BLOCKED}',
    904: 'the dock was not seen; check that it is there, clean and lit',
    905: f'driving onto the dock failed: {_BLOCKED}',
    906: 'the robot stands on the dock and does not charge; check contacts and power',
    907: f'docking: {_SLOW}',
    999: 'docking failed',
    9000: 'navigation failed',
    9001: f'the behaviour tree does not load: {_SETUP}',
    9002: _TF,
    9003: f'navigation: {_SLOW}',
    9100: 'navigation failed',
    9101: f'the behaviour tree does not load: {_SETUP}',
    9102: _TF,
    9103: f'navigation: {_SLOW}',
}
_MOVEIT: Mapping[int, str] = {
    0: 'MoveIt does not say what went wrong',
    99999: 'the arm could not do it',
    -1: 'no motion could be planned; the pose may be out of reach or blocked',
    -2: 'the planned motion is not valid',
    -3: 'something moved into the planned way; try again when it is clear',
    -4: 'the controllers failed while the arm moved; look at them before you go on',
    -5: 'a sensor gives no data',
    -6: _SLOW,
    -7: 'it was interrupted',
    -10: 'the arm touches something already, as the planning scene says',
    -11: 'the arm is where the path must not be',
    -12: 'the pose would touch something',
    -13: 'the pose is where the path must not be',
    -14: 'the pose was not reached closely enough',
    -15: f'no such planning group: {_SETUP}',
    -16: f'the goal is not valid: {_SETUP}',
    -17: 'the state of the arm is not valid',
    -18: f'no such link: {_SETUP}',
    -19: 'there is no such object in the planning scene',
    -21: _TF,
    -22: f'collisions cannot be checked: {_SETUP}',
    -23: 'the joint states are old; check the drivers',
    -24: 'sensor data are old; check the sensors',
    -25: 'a part of MoveIt does not answer',
    -26: 'the arm stands outside of its limits',
    -27: 'the pose is outside of the limits',
    -28: f'the kind of goal is not known: {_SETUP}',
    -29: 'MoveIt failed inside',
    -30: 'it was aborted',
    -31: 'the pose is out of reach (no inverse kinematics)',
}
_TRAJECTORY: Mapping[int, str] = {
    -1: 'the trajectory is not valid',
    -2: f'the joints are not those of the controller: {_SETUP}',
    -3: 'the trajectory is out of date',
    -4: 'the arm left the path by more than is allowed: something holds it, or the load is too heavy',
    -5: 'the arm did not reach the end closely enough',
}
_TABLES = {'nav2_msgs': _NAV2, 'moveit_msgs': _MOVEIT}


def explain(type_name: str, result: Mapping[str, Any]) -> str:
    """
    Say in one sentence what a controller's result means; empty where it says nothing.

    Parameters
    ----------
    type_name : str
        ``nav2_msgs/action/NavigateToPose``.
    result : mapping
        The result as JSON.

    """
    code = result.get('error_code')
    code = code.get('val') if isinstance(code, Mapping) else code
    package, _, name = type_name.partition('/')
    table = _TRAJECTORY if name.endswith('FollowJointTrajectory') else _TABLES.get(package, {})
    known = table.get(code, '') if isinstance(code, int) and not isinstance(code, bool) else ''
    words = next((str(result[name]) for name in ('error_msg', 'error_string', 'message') if result.get(name)), '')
    nested = result.get('error_code')
    if not words and isinstance(nested, Mapping):
        words = str(nested.get('message') or '')
    return ' '.join(part for part in (known, f'({words})' if known and words else words) if part)
