# SPDX-License-Identifier: Apache-2.0

"""Valves, gauges, keypads and the screen as MJCF. Local axes: x to the viewer's right, y up, z towards the viewer."""

from __future__ import annotations

import math

from gemma4_ros.sim.layout import Bench, Mount

__all__ = ['DIAL_RADIUS_M', 'KEY_PITCH_M', 'VALVE_OPEN_RAD', 'dial_body', 'keypad_body', 'screen_body', 'valve_body']

VALVE_OPEN_RAD = math.pi / 2
DIAL_RADIUS_M = 0.18
KEY_PITCH_M = 0.046


def _frame(name: str, mount: Mount) -> str:
    right = f'{math.sin(mount.heading):.6f} {-math.cos(mount.heading):.6f} 0'
    return f'<body name="{name}" pos="{mount.x:.4f} {mount.y:.4f} {mount.z}" xyaxes="{right} 0 0 1">'


def valve_body(mount: Mount) -> str:
    """Return a valve: a pipe, a body, and a hand wheel with a grip bar on a damped hinge with stops."""
    rim = ''
    for k in range(12):
        a, b = 2 * math.pi * k / 12, 2 * math.pi * (k + 1) / 12
        (x, y), (u, v) = ((0.105 * math.cos(angle), 0.105 * math.sin(angle)) for angle in (a, b))
        ends = f'{x:.4f} {y:.4f} -.035 {u:.4f} {v:.4f} -.035'
        rim += f'<geom class="trim" type="capsule" size=".009" fromto="{ends}" material="wheel"/>'
    return f"""{_frame(mount.name, mount)}
  <geom class="trim" type="cylinder" size=".03 .06" pos="0 0 -.12" material="steel"/>
  <geom class="trim" type="cylinder" size=".05 .33" pos="0 0 -.17" euler="90 0 0" material="pipe"/>
  <geom class="trim" type="cylinder" size=".07 .012" pos="0 .1 -.17" euler="90 0 0" material="steel"/>
  <geom class="trim" type="cylinder" size=".07 .012" pos="0 -.12 -.17" euler="90 0 0" material="steel"/>
  <geom class="trim" type="box" size=".075 .019 .002" pos="0 .16 -.1" material="plate_{mount.name}"/>
  <body name="wheel_{mount.name}">
    <joint name="{mount.name}" type="hinge" axis="0 0 1" range="0 {math.degrees(VALVE_OPEN_RAD)}"
      damping=".25" frictionloss=".35" armature=".01"/>
    <geom name="bar_{mount.name}" type="box" size=".07 .011 .022" mass=".5" material="wheel" friction="1 .01 .001"/>
    <geom class="trim" type="box" size=".1 .008 .006" pos="0 0 -.035" material="wheel"/>
    <geom class="trim" type="box" size=".008 .1 .006" pos="0 0 -.035" material="wheel"/>
    <geom class="trim" type="cylinder" size=".02 .04" pos="0 0 -.06" material="steel"/>
    <geom class="trim" type="box" size=".012 .0115 .023" pos=".06 0 0" rgba="1 1 1 1"/>
    {rim}
  </body>
</body>"""


def dial_body(mount: Mount) -> str:
    """Return a dial gauge with a needle on a hinge, and the pump that it belongs to."""
    r = DIAL_RADIUS_M
    return f"""{_frame(mount.name, mount)}
  <geom class="trim" type="cylinder" size="{r + 0.012} .018" pos="0 0 -.006" material="bezel"/>
  <geom name="face_{mount.name}" class="trim" type="cylinder" size="{r} .019" pos="0 0 -.004"
    material="dial_{mount.name}"/>
  <geom class="trim" type="cylinder" size=".02 .05" pos="0 {-r - 0.05} -.012" euler="90 0 0" material="steel"/>
  <geom class="trim" type="cylinder" size=".035 .2" pos="0 {-r - 0.28} -.03" euler="90 0 0" material="pipe"/>
  <geom class="trim" type="cylinder" size=".1 .06" pos=".28 -.52 -.06" euler="0 90 0" material="pump"/>
  <geom class="trim" type="cylinder" size=".075 .12" pos=".12 -.52 -.06" euler="0 90 0" material="steel"/>
  <geom class="trim" type="cylinder" size=".05 .07" pos=".28 -.46 -.06" euler="90 0 0" material="pump"/>
  <geom class="trim" type="box" size=".09 .0225 .002" pos="0 {r + 0.06} -.02" material="plate_{mount.name}"/>
  <body name="needle_{mount.name}" pos="0 0 .02" gravcomp="1">
    <joint name="needle_{mount.name}" type="hinge" axis="0 0 1" damping=".02" armature=".004"/>
    <geom class="trim" type="box" size=".0042 {0.5 * r * 0.98:.4f} .0015" pos="0 {0.5 * r * 0.70:.4f} 0"
      rgba=".82 .05 .05 1" mass=".02"/>
    <geom class="trim" type="cylinder" size=".014 .003" rgba=".08 .08 .08 1" mass=".01"/>
  </body>
</body>"""


def keypad_body(mount: Mount) -> str:
    """Return a keypad on a spring: where the finger presses it down decides the key."""
    return f"""{_frame(mount.name, mount)}
  <geom class="trim" type="box" size=".1 .2 .015" pos="0 .06 -.045" material="chassis"/>
  <geom class="trim" type="box" size=".03 .03 .12" pos="0 -.05 -.17" material="steel"/>
  <geom class="trim" type="box" size=".08 .04 .008" pos="0 .16 -.03" material="bezel"/>
  <geom class="trim" type="box" size=".07 .035 .009" pos="0 .16 -.028" material="display_{mount.name}"/>
  <geom class="trim" type="box" size=".08 .02 .002" pos="0 .225 -.029" material="plate_{mount.name}"/>
  <body name="keys_{mount.name}">
    <joint name="{mount.name}" type="slide" axis="0 0 -1" range="-.001 .015" stiffness="900" damping="25"
      springref="-.004"/>
    <geom name="keys_{mount.name}" type="box" size=".095 .095 .01" pos="0 0 -.01" mass=".4"
      material="keys_{mount.name}" friction=".5 .01 .001"/>
  </body>
</body>"""


def screen_body(bench: Bench) -> str:
    """Return the monitor that shows the HMI."""
    x, y = bench.pose.point(0.98, 0.22)
    right = f'{math.sin(bench.pose.yaw):.6f} {-math.cos(bench.pose.yaw):.6f} 0'
    return f"""<body name="monitor_{bench.place}" pos="{x:.4f} {y:.4f} 1.16" xyaxes="{right} 0 0 1">
  <geom class="trim" type="box" size=".27 .17 .014" pos="0 0 -.004" material="bezel"/>
  <geom class="trim" type="box" size=".255 .153 .015" pos="0 0 -.002" material="screen"/>
  <geom class="trim" type="box" size=".03 .25 .012" pos="0 -.38 -.02" material="bezel"/>
</body>"""
