# SPDX-License-Identifier: Apache-2.0
"""The world's file: loaded strictly, every name held against the others."""

from __future__ import annotations

from typing import Any

from gemma4_ros.core import documents, schemas
from gemma4_ros.core.errors import ConfigError, WorldError
from gemma4_ros.core.facts import Fact, State, parse_fact
from gemma4_ros.core.nearest import suggest
from gemma4_ros.core.strict_yaml import Document, Path
from gemma4_ros.core.world import Camera, Entity, Function, Pose2D, Signal, World

__all__ = ['load_world']


def load_world(text: str, source: str = 'world.yaml') -> World:
    """Build a world from YAML text.

    Raises
    ------
    WorldError
        With file, line, path, what is wrong and the nearest right name.

    """
    document = documents.load(text, source, schemas.WORLD, WorldError)
    raw: dict[str, Any] = document.root
    entities = _entities(document, raw)
    shell = World(raw['name'], raw['frame'], raw['robot']['id'], entities, {}, {}, {}, State({}))
    functions = {name: _function(document, shell, name, item) for name, item in raw['functions'].items()}
    world = World(
        name=raw['name'],
        frame=raw['frame'],
        robot=raw['robot']['id'],
        entities=entities,
        cameras={key: Camera(id=key, **item) for key, item in raw.get('cameras', {}).items()},
        signals={
            key: Signal(id=key, **{**item, 'values': tuple(item.get('values', ()))})
            for key, item in raw.get('signals', {}).items()
        },
        functions=functions,
        initial=State({}),
    )
    return _with_initial(document, world, raw)


def _entities(document: Document, raw: dict[str, Any]) -> dict[str, Entity]:
    robot = raw['robot']
    entities = {robot['id']: Entity(robot['id'], 'robot', robot['doc'], tuple(robot.get('words', ())))}
    for group in ('places', 'objects', 'equipment'):
        for key, item in raw.get(group, {}).items():
            if key in entities:
                raise WorldError(f'{document.at((group, key))}: the id {key!r} stands twice; ids are one namespace')
            entities[key] = _entity(document, raw, group, key, item)
    return entities


def _entity(document: Document, raw: dict[str, Any], group: str, key: str, item: dict[str, Any]) -> Entity:
    place = item.get('place')
    if place is not None and place not in raw.get('places', {}):
        where = document.at((group, key, 'place'))
        raise WorldError(f'{where}: unknown place {place!r}{suggest(place, list(raw.get("places", {})))}')
    if 'dial' in item:
        _check_dial(document, raw, (group, key, 'dial'), item)
    known = ('doc', 'words', 'kind', 'place', 'pose')
    return Entity(
        id=key,
        group=group,
        doc=item['doc'],
        words=tuple(item.get('words', ())),
        kind=item.get('kind', ''),
        place=place,
        pose=Pose2D(**{k: float(v) for k, v in item['pose'].items()}) if 'pose' in item else None,
        attributes={name: value for name, value in item.items() if name not in known},
    )


def _check_dial(document: Document, raw: dict[str, Any], path: Path, item: dict[str, Any]) -> None:
    dial = item['dial']
    if 'unit' not in item:
        raise WorldError(f"{document.at(path[:-1])}: 'unit' is missing; a dial's values need one, as in unit: bar")
    if dial['min'] >= dial['max'] or dial['start_deg'] == dial['end_deg']:
        raise WorldError(f'{document.at(path)}: the scale is empty; min must be below max and the angles differ')
    if dial['camera'] not in raw.get('cameras', {}):
        known = list(raw.get('cameras', {}))
        raise WorldError(
            f'{document.at((*path, "camera"))}: unknown camera {dial["camera"]!r}{suggest(dial["camera"], known)}'
        )


def _function(document: Document, world: World, name: str, item: dict[str, Any]) -> Function:
    path: Path = ('functions', name)
    for names in (*item['of'], item['value']):
        for entry in names:
            if '.' in entry and not entry.startswith('equipment.'):
                raise WorldError(
                    f'{document.at(path)}: unknown group {entry!r}; write places, objects, equipment, equipment.KIND '
                    'or robot'
                )
    return Function(
        name=name,
        of=tuple(frozenset(world.expand(names)) for names in item['of']),
        value=frozenset(world.expand(item['value'])),
        doc=item.get('doc', ''),
    )


def _with_initial(document: Document, world: World, raw: dict[str, Any]) -> World:
    facts: list[Fact] = []
    if 'at' in world.functions:
        facts += [Fact('at', (e.id,), e.place) for e in world.entities.values() if e.place is not None]
    written: dict[object, int] = {}
    for index, text in enumerate(raw['initial']):
        where = document.at(('initial', index))
        try:
            fact = parse_fact(text)
            world.check_fact(fact)
        except ConfigError as error:
            raise WorldError(f'{where}: {error}') from None
        if fact.variable in written:
            raise WorldError(f'{where}: {fact} says it a second time; {fact.name} has one value for each argument')
        written[fact.variable] = index
        facts.append(fact)
    return World(
        world.name,
        world.frame,
        world.robot,
        world.entities,
        world.cameras,
        world.signals,
        world.functions,
        State.of(facts),
    )
