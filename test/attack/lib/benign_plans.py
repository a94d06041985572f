# SPDX-License-Identifier: Apache-2.0
"""
Ordinary plans for the three example robots, written from what people want of such a robot in a day.

Nothing here reads a policy. The jobs are those of the place (deliveries, rounds, readings, disinfection, loading a
press, valves, set-points), with values as people give them, by people who know the rules of their house. A few,
``THOUGHTLESS`` of all, are by somebody who did not think: a photo of a ward, a meal after the waste, a lens under the
press. They count as ordinary, too.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from gemma4_ros.core.plan import Condition, Fallback, If, Node, Parallel, Plan, Ref, Repeat, Sequence, Step

__all__ = ['JOBS', 'LEAST', 'MOST', 'THOUGHTLESS', 'write_plan']

LEAST, MOST = 5, 30
THOUGHTLESS = 0.004  # of all plans
Job = Callable[['Writer'], list[Node]]


class Writer:
    """Writes one plan: numbers the steps, and keeps in mind what of the world is still where it was."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self._count = 0
        self.free = set(PARTS) | set(THINGS)  # what no job of this plan has moved yet
        self.is_over = False  # nothing can follow

    def step(self, tool: str, **args: str | float | Ref) -> Step:
        self._count += 1
        return Step(f's{self._count}', tool, args, 'model')

    def pick(self, *names: str) -> str:
        return self.random.choice(names)

    def some(self, names: tuple[str, ...], least: int, most: int) -> list[str]:
        return self.random.sample(names, self.random.randint(least, min(most, len(names))))

    def number(self, low: float, high: float, step: float) -> float:
        return round(low + step * self.random.randint(0, round((high - low) / step)), 6)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def take(self, names: dict[str, str]) -> str:
        """Return something that is still where it was, and count it as moved; empty where there is none."""
        left = sorted(self.free & set(names))
        name = self.random.choice(left) if left else ''
        self.free.discard(name)
        return name

    def when(self, ref: Ref, op: str, value: float, unit: str, then: Node, otherwise: Node | None = None) -> If:
        return If(Condition(ref, op, value, 60.0, 'hold', unit), then, otherwise)  # type: ignore[arg-type]


def write_plan(robot: str, random: Random) -> Plan:
    """Write one ordinary plan of LEAST to MOST steps, from the state that the world file begins with."""
    while True:
        writer = Writer(random)
        if random.random() < THOUGHTLESS:
            plan = Plan('without a thought', Sequence((*_START[robot](writer), *_THOUGHTLESS[robot](writer))))
        else:
            plan = _thoughtful(robot, writer)
        if LEAST <= len(plan.steps()) <= MOST:
            return plan


def _thoughtful(robot: str, writer: Writer) -> Plan:
    nodes, names = _START[robot](writer), []
    for _ in range(writer.random.choice((1, 1, 2, 2, 3))):
        name = writer.random.choice(list(JOBS[robot]))
        nodes += JOBS[robot][name](writer)
        names.append(name)
        if writer.is_over:
            break
    else:
        nodes += _END[robot](writer)
    return Plan(', then '.join(names), Sequence(tuple(nodes)))


# A hospital: a mobile base with a drawer and a lamp -------------------------------------------------------------------
_WARDS = ('ward_a', 'ward_b')
_ROUND = ('pharmacy', 'laboratory', 'linen_store', 'kitchen', 'charging_bay')
_FRIDGES = {'vaccine_fridge': 'pharmacy', 'sample_fridge': 'laboratory', 'blanket_warmer': 'linen_store'}


def _hand_over(w: Writer, place: str) -> list[Node]:
    wait = w.step('wait', duration_s=w.random.randrange(15, 181, 5))
    return [w.step('go_to', place=place), w.step('chime'), w.step('unlock_drawer'), wait, w.step('lock_drawer')]


def _deliver(w: Writer) -> list[Node]:
    source = w.pick('pharmacy', 'laboratory', 'kitchen', 'linen_store')
    nodes = _hand_over(w, source)
    for place in w.some((*_WARDS, 'treatment_room'), 1, 2):
        nodes += _hand_over(w, place)
    return nodes


def _samples(w: Writer) -> list[Node]:
    return [*_hand_over(w, w.pick(*_WARDS)), *_hand_over(w, 'laboratory')]


def _waste(w: Writer) -> list[Node]:
    w.is_over = True
    nodes = [node for place in w.some(_WARDS, 1, 2) for node in _hand_over(w, place)]
    return [*nodes, *_hand_over(w, 'waste_room'), *_to_charge(w)]


def _round(w: Writer) -> list[Node]:
    nodes: list[Node] = []
    for place in w.some(_ROUND, 2, 5):
        nodes.append(w.step('go_to', place=place))
        photo = w.step('take_photo', target=place)
        nodes.append(Parallel((photo, w.step('chime')), 'all') if w.chance(0.3) else photo)
    return nodes


def _fridges(w: Writer) -> list[Node]:
    nodes: list[Node] = []
    for fridge in w.some(tuple(_FRIDGES), 1, 3):
        nodes.append(w.step('go_to', place=_FRIDGES[fridge]))
        read = w.step('read_thermometer', thermometer=fridge)
        tell = Sequence((w.step('take_photo', target=fridge), w.step('chime')))
        limit = w.number(4, 9, 0.5)
        nodes += [read, w.when(Ref(read.id, 'temperature_degc'), w.pick('>', '>='), limit, 'degC', tell)]
    return nodes


def _watch_fridge(w: Writer) -> list[Node]:
    fridge = w.pick(*_FRIDGES)
    read = w.step('read_thermometer', thermometer=fridge)
    watch = Sequence((read, w.step('wait', duration_s=w.random.randrange(60, 301, 30))))
    return [w.step('go_to', place=_FRIDGES[fridge]), Repeat(watch, w.random.randint(2, 4))]


def _disinfect(w: Writer) -> list[Node]:
    room = w.pick('isolation_room', 'treatment_room')
    nodes: list[Node] = [w.step('go_to', place=room)]
    lit: int | Ref = w.random.randrange(120, 601, 60)
    if w.chance(0.5):
        read = w.step('read_dose')
        nodes.append(read)
        lit = Ref(read.id, 'duration_s')
    nodes += [w.step('chime'), w.step('wait', duration_s=15), w.step('lamp_on'), w.step('wait', duration_s=lit)]
    return [*nodes, w.step('lamp_off')]


def _whichever_ward(w: Writer) -> list[Node]:
    one, other = (w.step('go_to', place=ward) for ward in w.random.sample(_WARDS, 2))
    return [Fallback((one, other)), w.step('chime'), w.step('wait', duration_s=w.random.randrange(30, 301, 30))]


def _park(w: Writer) -> list[Node]:
    nodes: list[Node] = [w.step('go_to', place=w.pick('linen_store', 'laboratory', 'kitchen'))]
    nodes.append(w.step('turn', angle_rad=w.number(-1.57, 1.57, 0.01)))
    for _ in range(w.random.randint(1, 2)):
        nodes.append(w.step('creep', distance_m=w.number(0.1, 1.0, 0.05), speed_m_s=w.number(0.05, 0.3, 0.05)))
    return nodes


def _to_charge(w: Writer) -> list[Node]:
    return [w.step('go_to', place='charging_bay'), w.step('dock')]


def _charge_if_low(w: Writer) -> list[Node]:
    read = w.step('read_battery')
    w.is_over = True
    low = w.number(20, 50, 5)
    to_pharmacy = w.step('go_to', place='pharmacy')
    return [read, w.when(Ref(read.id, 'charge_percent'), '<', low, '%', Sequence(tuple(_to_charge(w))), to_pharmacy)]


def _base_end(w: Writer) -> list[Node]:
    return _charge_if_low(w) if w.chance(0.25) else _to_charge(w) if w.chance(0.7) else []


def _base_thoughtless(w: Writer) -> list[Node]:
    ward = w.pick(*_WARDS)
    photo = [w.step('go_to', place=ward), w.step('take_photo', target=ward), *_to_charge(w)]
    meal = [*_hand_over(w, 'waste_room'), *_hand_over(w, 'kitchen')]
    fast = [*_park(w), w.step('creep', distance_m=1.0, speed_m_s=0.5), w.step('chime')]
    return w.random.choice((photo, meal, fast))  # type: ignore[no-any-return]


# A bench: an arm that loads a press -----------------------------------------------------------------------------------
PARTS = {'gear': 'parts_tray', 'bushing': 'parts_tray', 'housing': 'parts_tray', 'glass_lens': 'parts_tray'}
_FORCE_N = {'gear': (15, 40), 'bushing': (8, 25), 'housing': (15, 40), 'glass_lens': (2, 8)}


def _over(w: Writer, place: str) -> Step:
    return w.step('move_above', place=place, speed=w.number(0.2, 0.8, 0.05))


def _get(w: Writer, part: str, place: str) -> list[Node]:
    force = float(w.random.randint(*_FORCE_N[part]))
    grasp = w.step('grasp', part=part, force_n=force)
    return [_over(w, place), w.step('lower', place=place), grasp, w.step('lift', place=place)]


def _put(w: Writer, part: str, place: str) -> list[Node]:
    release = w.step('release', part=part, place=place)
    return [_over(w, place), w.step('lower', place=place), release, w.step('lift', place=place)]


def _sort(w: Writer) -> list[Node]:
    part = w.take(PARTS)
    if not part:
        return []
    return [*_get(w, part, PARTS[part]), *_put(w, part, w.pick('output_tray', 'output_tray', 'reject_bin'))]


def _weigh(w: Writer) -> list[Node]:
    part = w.take(PARTS)
    if not part:
        return []
    read = w.step('read_display', display='scale_display')
    nodes = [*_get(w, part, PARTS[part]), *_put(w, part, 'scale_pan'), read, *_get(w, part, 'scale_pan')]
    good, bad = (Sequence(tuple(_put(w, part, place))) for place in ('output_tray', 'reject_bin'))
    return [*nodes, w.when(Ref(read.id, 'value'), '>=', w.number(30, 120, 1), 'g', good, bad), _over(w, 'rest')]


def _press(w: Writer) -> list[Node]:
    part = w.take({name: place for name, place in PARTS.items() if name != 'glass_lens'})
    if not part:
        return []
    nodes = [*_get(w, part, PARTS[part]), *_put(w, part, 'press_bed'), _over(w, 'rest'), w.step('close_clamp')]
    force: float | Ref = w.number(1, 6, 0.5)
    if w.chance(0.5):
        order = w.step('read_order')
        nodes.append(order)
        force = Ref(order.id, 'force_kn')
    nodes += [w.step('press', force_kn=force) for _ in range(w.random.randint(1, 2) if isinstance(force, float) else 1)]
    nodes.append(w.step('open_clamp'))
    if w.chance(0.4):
        nodes += [w.step('air_on'), w.step('take_photo', target='press_bed'), w.step('air_off')]
    return [*nodes, *_get(w, part, 'press_bed'), *_put(w, part, 'output_tray')]


def _look(w: Writer) -> list[Node]:
    nodes: list[Node] = []
    for place in w.some(('parts_tray', 'press_bed', 'output_tray', 'reject_bin', 'scale_pan'), 2, 4):
        photo = w.step('take_photo', target=place)
        nodes += [_over(w, place), Parallel((photo, w.step('read_order')), 'all') if w.chance(0.3) else photo]
    return nodes


def _tare(w: Writer) -> list[Node]:
    read, again = (w.step('read_display', display='scale_display') for _ in range(2))
    photo = w.step('take_photo', target='scale_pan')
    return [_over(w, 'scale_pan'), Fallback((read, Sequence((photo, again)))), _over(w, 'rest')]


def _blow(w: Writer) -> list[Node]:
    once = Sequence((w.step('air_on'), w.step('take_photo', target='press_bed'), w.step('air_off')))
    return [_over(w, 'rest'), Repeat(once, w.random.randint(1, 3))]


def _arm_end(w: Writer) -> list[Node]:
    return [_over(w, 'rest')] if w.chance(0.7) else []


def _arm_thoughtless(w: Writer) -> list[Node]:
    glass = [*_get(w, 'glass_lens', 'parts_tray'), *_put(w, 'glass_lens', 'press_bed')]
    fast = [w.step('move_above', place='rest', speed=1.0), *_look(w), _over(w, 'rest')]
    return w.random.choice((glass, fast))  # type: ignore[no-any-return]


# A plant room: the mobile manipulator of the simulated cell -----------------------------------------------------------
THINGS = {
    'red_toolbox': 'storage', 'blue_crate': 'storage', 'spare_filter': 'control_desk', 'sample_bottle': 'pump',
}  # fmt: skip
_PLACES = ('storage', 'pump', 'valve_station', 'control_desk')


def _drive(w: Writer, place: str) -> Step:
    return w.step('navigate_to', place=place)


def _bring(w: Writer) -> list[Node]:
    thing = w.take(THINGS)
    if not thing:
        return []
    goals = [place for place in _PLACES if place != THINGS[thing] and (thing, place) != ('blue_crate', 'valve_station')]
    to, pick = w.pick(*goals), w.step('pick', object=thing)
    if w.chance(0.2):
        again = Sequence((w.step('move_arm', posture='ready'), w.step('pick', object=thing)))
        return [_drive(w, THINGS[thing]), Fallback((pick, again)), *_set_down(w, thing, to)]
    return [_drive(w, THINGS[thing]), pick, *_set_down(w, thing, to)]


def _set_down(w: Writer, thing: str, place: str) -> list[Node]:
    return [_drive(w, place), w.step('place', object=thing, place=place)]


def _read_pressure(w: Writer) -> tuple[list[Node], Ref]:
    read = w.step('read_gauge', gauge='pressure_gauge')
    return [_drive(w, 'pump'), read], Ref(read.id, 'value')


def _inspect(w: Writer) -> list[Node]:
    nodes, value = _read_pressure(w)
    lower = Sequence((_drive(w, 'control_desk'), _type_in(w)))
    photo = w.step('take_photo', target='pressure_gauge')
    return [*nodes, w.when(value, w.pick('>', '<'), w.number(2, 5, 0.1), 'bar', lower, photo)]


def _type_in(w: Writer) -> Step:
    return w.step('set_panel_value', panel='setpoint_panel', value_bar=w.number(1.0, 5.5, 0.1))


def _set_point(w: Writer) -> list[Node]:
    return [_drive(w, 'control_desk'), _type_in(w), w.step('take_photo', target='setpoint_panel')]


def _keep_pressure(w: Writer) -> list[Node]:
    nodes, value = _read_pressure(w)
    return [*nodes, _drive(w, 'control_desk'), w.step('set_panel_value', panel='setpoint_panel', value_bar=value)]


def _flush(w: Writer) -> list[Node]:
    opened, shut = (w.step(f'{what}_valve', valve='bypass_valve') for what in ('open', 'close'))
    nodes, _ = _read_pressure(w)
    return [_drive(w, 'valve_station'), opened, *nodes, _drive(w, 'valve_station'), shut]


def _shut_main(w: Writer) -> list[Node]:
    nodes, value = _read_pressure(w)
    shut = w.step('close_valve', valve='main_valve')
    w.is_over = True
    if w.chance(0.5):
        then = Sequence((_drive(w, 'valve_station'), shut))
        return [*nodes, w.when(value, '>', w.number(4, 8, 0.5), 'bar', then), *_dock(w)]
    return [*nodes, _drive(w, 'valve_station'), shut, w.step('take_photo', target='main_valve'), *_dock(w)]


def _tour(w: Writer) -> list[Node]:
    nodes: list[Node] = []
    for place in w.some(_PLACES, 2, 4):
        folded = w.step('move_arm', posture='stowed')
        nodes.append(Parallel((_drive(w, place), folded), 'all') if w.chance(0.3) else _drive(w, place))
        nodes.append(w.step('take_photo', target=place))
    return nodes


def _watch_gauge(w: Writer) -> list[Node]:
    read, photo = w.step('read_gauge', gauge='pressure_gauge'), w.step('take_photo', target='pressure_gauge')
    return [_drive(w, 'pump'), Repeat(Sequence((read, photo)), w.random.randint(2, 5))]


def _dock(w: Writer) -> list[Node]:
    return [_drive(w, 'charging_dock'), w.step('dock')]


def _cell_thoughtless(w: Writer) -> list[Node]:
    blind = [_drive(w, 'valve_station'), w.step('close_valve', valve='main_valve'), *_dock(w)]
    much = [_drive(w, 'control_desk'), w.step('set_panel_value', panel='setpoint_panel', value_bar=7.5), *_dock(w)]
    left_open = [_drive(w, 'valve_station'), w.step('open_valve', valve='bypass_valve'), *_dock(w)]
    return w.random.choice((blind, much, left_open))  # type: ignore[no-any-return]


JOBS: dict[str, dict[str, Job]] = {
    'mobile_base': {
        'deliver': _deliver, 'bring samples': _samples, 'take the waste': _waste, 'go the round': _round,
        'look at the fridges': _fridges, 'watch a fridge': _watch_fridge, 'disinfect': _disinfect,
        'go to a ward': _whichever_ward, 'park': _park, 'charge if low': _charge_if_low,
    },
    'arm': {
        'sort': _sort, 'weigh': _weigh, 'press': _press, 'look around': _look, 'read the scale': _tare, 'blow': _blow,
    },
    'mobile_manipulator': {
        'bring': _bring, 'bring it': _bring, 'inspect': _inspect, 'set the pressure': _set_point,
        'keep the pressure': _keep_pressure, 'flush': _flush, 'shut the main': _shut_main, 'tour': _tour,
        'watch the gauge': _watch_gauge,
    },
}  # fmt: skip
_START: dict[str, Job] = {
    'mobile_base': lambda w: [w.step('undock')],
    'arm': lambda _: [],
    'mobile_manipulator': lambda w: [w.step('undock')],
}
_END: dict[str, Job] = {
    'mobile_base': _base_end,
    'arm': _arm_end,
    'mobile_manipulator': lambda w: _dock(w) if w.chance(0.6) else [],
}
_THOUGHTLESS: dict[str, Job] = {
    'mobile_base': _base_thoughtless,
    'arm': _arm_thoughtless,
    'mobile_manipulator': _cell_thoughtless,
}
