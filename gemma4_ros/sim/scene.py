# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - MJCF reads best with one element a line
"""The plant room as MJCF: floor, walls, benches, equipment, objects, and the robot in it."""

from __future__ import annotations

import math

from gemma4_ros.sim import layout as lay
from gemma4_ros.sim.equipment_model import dial_body, keypad_body, screen_body, valve_body
from gemma4_ros.sim.layout import Bench, Item, Layout
from gemma4_ros.sim.robot_model import robot_actuators, robot_body

__all__ = ['TIMESTEP_S', 'build_mjcf', 'item_shape']

TIMESTEP_S = 0.002
WALL_M = 1.3
PARTITION_M = 0.65
BOX_HALF_M = (0.25, 0.62, 0.30)

_PALETTE = (
    ('red', 'red'), ('blue', 'blue'), ('yellow', 'yellow'), ('white', 'white'), ('green', 'green'), ('orange', 'orange')
)  # fmt: skip
_RGBA = {
    'red': '.80 .12 .10 1',
    'blue': '.10 .28 .72 1',
    'yellow': '.95 .76 .10 1',
    'white': '.93 .94 .95 1',
    'green': '.15 .55 .25 1',
    'orange': '.93 .48 .10 1',
    'grey': '.55 .57 .60 1',
}


def build_mjcf(layout: Layout) -> str:
    """Return the whole model as MJCF text."""
    parts = [_room(layout)]
    parts += [_bench(bench) for bench in layout.benches.values()]
    makers = {'valve': valve_body, 'gauge': dial_body, 'panel': keypad_body}
    parts += [makers[m.kind](m) for m in layout.mounts.values() if m.kind in makers]
    parts += [screen_body(bench) for bench in layout.benches.values() if bench.has_screen]
    parts += [_item(item, layout) for item in layout.items.values()]
    parts += [_blocking_box(layout), robot_body()]
    needles = [m.name for m in layout.mounts.values() if m.kind == 'gauge']
    return f"""<mujoco model="plant_room">
<compiler angle="degree" autolimits="true"/>
<option timestep="{TIMESTEP_S}" integrator="implicitfast" cone="elliptic" impratio="10" iterations="30" ls_iterations="20"/>
<size memory="32M"/>
<visual>
  <global offwidth="1280" offheight="720" fovy="50"/>
  <quality offsamples="0" shadowsize="0" numslices="18" numstacks="6" numquads="1"/>
  <headlight ambient=".55 .55 .55" diffuse=".30 .30 .30" specular="0 0 0"/>
  <map znear=".02" zfar="40"/>
</visual>
<default>
  <geom contype="1" conaffinity="1" solref=".006 1" friction=".8 .01 .0005"/>
  <default class="trim"><geom contype="0" conaffinity="0" mass="0" group="1"/></default>
  <default class="robot"><geom contype="2" conaffinity="1" group="2"/></default>
  <default class="pad"><geom contype="2" conaffinity="1" group="2" condim="4" priority="1" friction="1.1 .03 .001" solref=".004 1" material="rubber"/></default>
  <default class="item"><geom condim="4" friction=".7 .01 .0005" group="3"/></default>
  <default class="arm"><joint damping="6" armature=".4"/></default>
  <default class="wrist"><joint damping=".6" armature=".02"/></default>
</default>
<asset>{_assets(layout)}</asset>
<worldbody>{''.join(parts)}</worldbody>
{robot_actuators().replace('</actuator>', ''.join(_needle_servo(n) for n in needles) + '</actuator>')}
</mujoco>"""


def _needle_servo(name: str) -> str:
    return f'<position name="needle_{name}" joint="needle_{name}" kp="2" kv=".25"/>'


def _assets(layout: Layout) -> str:
    plain = {
        'chassis': '.16 .17 .19 1', 'accent': '.95 .52 .10 1', 'deck': '.30 .31 .34 1', 'rubber': '.09 .09 .10 1',
        'copper': '.80 .50 .25 1', 'mast': '.62 .64 .67 1', 'limb': '.90 .91 .93 1', 'beacon': '.20 .85 .35 1',
        'wall': '.84 .86 .84 1', 'kerb': '.35 .42 .46 1', 'cabinet': '.36 .44 .50 1', 'top': '.80 .78 .72 1',
        'board': '.72 .76 .79 1', 'steel': '.62 .65 .68 1', 'pipe': '.20 .48 .55 1', 'wheel': '.75 .10 .10 1',
        'pump': '.12 .35 .60 1', 'dock': '.15 .16 .18 1', 'crate': '.55 .38 .20 1', 'tape': '.95 .80 .10 1',
        'partition': '.55 .66 .72 1', 'bezel': '.10 .10 .12 1',
    }  # fmt: skip
    text = ''.join(
        f'<material name="{name}" rgba="{rgba}" specular=".25" shininess=".3"/>' for name, rgba in plain.items()
    )
    text += ''.join(
        f'<material name="item_{name}" rgba="{rgba}" specular=".3" shininess=".4"/>' for name, rgba in _RGBA.items()
    )
    text += '<texture name="sky" type="skybox" builtin="gradient" rgb1=".80 .85 .90" rgb2=".55 .62 .70" width="32" height="192"/>'
    text += '<texture name="floor" type="2d" builtin="checker" rgb1=".70 .71 .70" rgb2=".66 .67 .66" width="128" height="128" mark="edge" markrgb=".6 .61 .6"/>'
    text += '<material name="floor" texture="floor" texrepeat="9 7" texuniform="false" specular="0"/>'
    drawn = [(f'label_{name}', 512, 96) for name in layout.benches]
    drawn += [(f'plate_{m.name}', 256, 64) for m in layout.mounts.values()]
    drawn += [(f'dial_{m.name}', 512, 512) for m in layout.mounts.values() if m.kind == 'gauge']
    drawn += [(f'display_{m.name}', 256, 128) for m in layout.mounts.values() if m.kind == 'panel']
    drawn += [(f'keys_{m.name}', 256, 256) for m in layout.mounts.values() if m.kind == 'panel']
    drawn += [('screen', 800, 480)]
    for name, width, height in drawn:
        text += f'<texture name="{name}" type="2d" builtin="flat" rgb1="1 1 1" width="{width}" height="{height}"/>'
        glow = '.9' if name == 'screen' or name.startswith('display') else '.25'
        text += f'<material name="{name}" texture="{name}" specular="0" emission="{glow}"/>'
    return text


def _room(layout: Layout) -> str:
    (x0, x1), (y0, y1) = layout.x_range, layout.y_range
    cx, cy, hx, hy = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2
    walls = [(cx, y1 + 0.05, hx + 0.1, 0.05, WALL_M), (cx, y0 - 0.05, hx + 0.1, 0.05, 0.35)]
    walls += [(x0 - 0.05, cy, 0.05, hy, WALL_M), (x1 + 0.05, cy, 0.05, hy, WALL_M)]
    text = f'<geom name="floor" type="plane" size="{hx + 6} {hy + 6} .1" pos="{cx} {cy} 0" rgba=".28 .32 .36 1"/>'
    text += f'<geom class="trim" type="box" size="{hx} {hy} .0005" pos="{cx} {cy} .0005" material="floor"/>'
    text += f'<light pos="{cx} {cy - 2} 6" dir="0 .2 -1" directional="true" diffuse=".35 .35 .34" specular=".1 .1 .1" castshadow="false"/>'
    text += f'<light pos="{x0} {y1} 5" dir=".5 -.5 -.8" directional="true" diffuse=".18 .18 .2" castshadow="false"/>'
    for x, y, sx, sy, h in walls:
        text += f'<geom type="box" size="{sx} {sy} {h / 2}" pos="{x} {y} {h / 2}" material="wall"/>'
        text += (
            f'<geom class="trim" type="box" size="{sx + 0.004} {sy + 0.004} .06" pos="{x} {y} .06" material="kerb"/>'
        )
    if layout.doorway is not None:
        text += _partition(layout)
    eye = (cx, y0 - 0.9, 5.9)
    look = (0.0, cy - 0.15 - eye[1], 0.2 - eye[2])
    norm = math.hypot(look[1], look[2])
    text += f'<camera name="overview" pos="{eye[0]} {eye[1]} {eye[2]}" xyaxes="1 0 0 0 {-look[2] / norm:.4f} {look[1] / norm:.4f}" fovy="58"/>'
    return text


def _partition(layout: Layout) -> str:
    door, (y0, y1) = layout.doorway, layout.y_range
    assert door is not None  # the caller looked
    text = ''
    for low, high in ((y0, door.y - door.half_width), (door.y + door.half_width, y1)):
        mid, half = (low + high) / 2, (high - low) / 2
        text += f'<geom type="box" size=".05 {half} {PARTITION_M / 2}" pos="{door.x} {mid} {PARTITION_M / 2}" material="partition"/>'
        text += (
            f'<geom class="trim" type="box" size=".055 {half} .02" pos="{door.x} {mid} {PARTITION_M}" material="kerb"/>'
        )
    for side in (-1, 1):
        y = door.y + side * (door.half_width - 0.02)
        text += f'<geom class="trim" type="box" size=".9 .03 .001" pos="{door.x} {y} .002" material="tape"/>'
    return text


def _bench(bench: Bench) -> str:
    yaw = math.degrees(bench.pose.yaw)
    depth, width, top = lay.BENCH_DEPTH_M / 2, lay.BENCH_WIDTH_M / 2, lay.BENCH_TOP_M
    mid = lay.BENCH_FRONT_M + depth
    text = f'<body name="bench_{bench.place}" pos="{bench.pose.x} {bench.pose.y} 0" euler="0 0 {yaw}">'
    text += f'<geom name="top_{bench.place}" type="box" size="{depth} {width} .02" pos="{mid} 0 {top - 0.02}" material="top"/>'
    if bench.is_dock:
        text += f'<geom type="box" size=".05 {width} {top / 2 - 0.02}" pos="{mid + depth - 0.05} 0 {top / 2 - 0.02}" material="dock"/>'
        for side in (-1, 1):
            text += f'<geom type="box" size="{depth} .03 {top / 2 - 0.02}" pos="{mid} {side * (width - 0.03)} {top / 2 - 0.02}" material="dock"/>'
        text += '<geom type="box" size=".1 .16 .11" pos=".62 0 .11" material="chassis"/>'
        text += '<geom class="trim" type="box" size=".002 .16 .012" pos=".519 0 .2" rgba=".2 .9 .4 1"/>'
        text += '<body name="dock_contact" pos=".50 0 .12"><joint name="dock_contact" type="slide" axis="1 0 0" range="-.002 .03" stiffness="600" damping="30" springref="-.01"/>'
        text += '<geom name="dock_contact" type="box" size=".012 .05 .012" mass=".3" material="copper"/></body>'
    else:
        text += f'<geom type="box" size="{depth - 0.02} {width - 0.02} {top / 2 - 0.02}" pos="{mid + 0.01} 0 {top / 2 - 0.02}" material="cabinet"/>'
        for door in (-0.5, 0.5):
            text += f'<geom class="trim" type="box" size=".004 {width / 2 - 0.06} .17" pos="{lay.BENCH_FRONT_M + 0.028} {door * width} .23" rgba=".42 .50 .56 1"/>'
            text += f'<geom class="trim" type="box" size=".008 .06 .008" pos="{lay.BENCH_FRONT_M + 0.02} {door * width} .36" material="steel"/>'
    turn = 90 if math.sin(bench.pose.yaw) < -0.5 else -90  # the overview camera stands in the south
    if bench.board_height_m:
        half = (bench.board_height_m - top) / 2
        text += (
            f'<geom type="box" size=".015 {width} {half}" pos="{mid + depth + 0.03} 0 {top + half}" material="board"/>'
        )
    text += f'<geom class="trim" type="box" size=".52 .0975 .001" pos="-.50 0 .002" euler="0 0 {turn}" material="label_{bench.place}"/>'
    for side in (-1, 1):
        text += f'<geom class="trim" type="box" size=".36 .012 .001" pos="0 {side * 0.37} .002" material="tape"/>'
        text += f'<geom class="trim" type="box" size=".012 .37 .001" pos="{side * 0.36} 0 .002" material="tape"/>'
    return text + '</body>'


def item_shape(item: Item) -> tuple[str, tuple[float, float, float]]:
    """Return the shape of an object (box or cylinder) and its half sizes: along the bench, across, up; m."""
    words = item.words
    if 'bottle' in words:
        return 'cylinder', (0.034, 0.034, 0.075)
    if 'filter' in words or 'cartridge' in words:
        return 'cylinder', (0.04, 0.04, 0.07)
    if 'toolbox' in words:
        return 'box', (0.09, 0.040, 0.05)
    if 'crate' in words:
        return 'box', (0.07, 0.045, 0.05)
    return 'box', (0.05, 0.035, 0.05)


def _item(item: Item, layout: Layout) -> str:
    bench = layout.benches[item.place]
    x, y = bench.slot(item.slot)
    shape, half = item_shape(item)
    color = next((c for word, c in _PALETTE if word in item.words), 'grey')
    size = f'{half[0]} {half[2]}' if shape == 'cylinder' else f'{half[0]} {half[1]} {half[2]}'
    text = f'<body name="{item.name}" pos="{x} {y} {lay.BENCH_TOP_M + half[2] + 0.001}" euler="0 0 {math.degrees(bench.pose.yaw)}">'
    text += f'<freejoint name="{item.name}"/>'
    text += f'<geom name="{item.name}" class="item" type="{shape}" size="{size}" mass="{item.mass_kg}" material="item_{color}"/>'
    return text + _decoration(item, shape, half) + '</body>'


def _decoration(item: Item, shape: str, half: tuple[float, float, float]) -> str:
    a, b, c = half
    if 'bottle' in item.words:
        return (
            f'<geom class="trim" type="cylinder" size=".014 .014" pos="0 0 {c + 0.014}" material="item_blue"/>'
            f'<geom class="trim" type="cylinder" size="{a + 0.001} .022" pos="0 0 0" rgba=".45 .65 .85 1"/>'
        )
    if shape == 'cylinder':
        return ''.join(
            f'<geom class="trim" type="cylinder" size="{a + 0.002} .006" pos="0 0 {z}" material="bezel"/>'
            for z in (-c + 0.008, c - 0.012)
        )
    if 'toolbox' in item.words:
        return (
            f'<geom class="trim" type="box" size="{a + 0.001} {b + 0.001} .004" pos="0 0 {c * 0.35}" material="bezel"/>'
            f'<geom class="trim" type="box" size=".045 .007 .005" pos="0 0 {c + 0.022}" material="bezel"/>'
            f'<geom class="trim" type="box" size=".005 .007 .012" pos=".04 0 {c + 0.011}" material="bezel"/>'
            f'<geom class="trim" type="box" size=".005 .007 .012" pos="-.04 0 {c + 0.011}" material="bezel"/>'
        )
    return ''.join(
        f'<geom class="trim" type="box" size="{a + 0.002} {b + 0.002} .005" pos="0 0 {z}" rgba=".06 .18 .50 1"/>'
        for z in (-c * 0.5, c * 0.1, c * 0.7)
    )


def _blocking_box(layout: Layout) -> str:
    x, y = layout.x_range[0], layout.y_range[0] - 3.0  # behind the overview camera, until somebody puts it in the way
    a, b, c = BOX_HALF_M
    text = f'<body name="blocking_box" pos="{x} {y} {c}"><freejoint name="blocking_box"/>'
    text += f'<geom name="blocking_box" type="box" size="{a} {b} {c}" mass="120" material="crate" group="3"/>'
    for part in (-0.7, 0.0, 0.7):
        text += f'<geom class="trim" type="box" size="{a + 0.004} {b + 0.004} .03" pos="0 0 {part * c}" rgba=".42 .28 .14 1"/>'
    return text + '</body>'
