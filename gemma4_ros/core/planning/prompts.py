# SPDX-License-Identifier: Apache-2.0
"""What the model is told: rules, calls and names (constant for one robot, so warm), then state and command."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gemma4_ros.core.facts import State
from gemma4_ros.core.planning.surface import main_return, readings
from gemma4_ros.core.ports import Message
from gemma4_ros.core.tools import Arg, Intent, Tool, Toolset
from gemma4_ros.core.world import Entity, World

_RULES = """\
You turn an operator's command into calls for a robot. Write only calls, one a line, in the order of the command.
The robot finds the way, opens what is in the way and frees its hand by itself: write only what the operator asks for.
Leave out what the operator says not to do. "it" is the thing named last; "there" the place named last.
{conditionals}Several times: repeat N {{ }}. At the same time: both {{ }} and {{ }}.
A question about where something is or how it is: answer(...).
Not clear which thing or place is meant: ask(...).
A thing that is not listed, or something that no call can do: cannot("...")."""


def messages(
    toolset: Toolset,
    world: World,
    state: State,
    command: str,
    dialogue: Iterable[str] = (),
    shots: Iterable[tuple[str, str, str]] | None = None,
    names: str = '',
) -> tuple[Message, ...]:
    """
    Return the prompt of one command. Everything before the last message is the same for every command of this robot.

    Parameters
    ----------
    toolset, world, state :
        What the robot can do, what there is and what is the case.
    command : str
        The operator's words.
    dialogue : iterable of str
        What was said before, one line a turn.
    shots : iterable, optional
        What `examples` returned; made anew where it is not given.
    names : str
        What `hint.hint` says of the command.

    """
    shown: list[Message] = []
    for said, told, code in examples(toolset, world) if shots is None else shots:
        shown += [Message('user', _asked(said, told)), Message('assistant', code)]
    earlier = ''.join(f'{turn}\n' for turn in dialogue)
    last = f'now: {_now(world, state)}\n{earlier}{_asked(command, names)}'
    return (Message('system', system(toolset, world)), *shown, Message('user', last))


def _asked(command: str, names: str) -> str:
    return f'command: {command}\nnames: {names or "none"}'


def system(toolset: Toolset, world: World) -> str:
    """Return the constant rules, calls and names."""
    reading = readings(toolset)
    conditionals = ''
    if reading:
        name = reading[0].name
        conditionals = (
            f'Depending on a reading: if {name}(...) > N {{ }} else {{ }}. '
            'Depending on the state: if at(...) == ... { }.\n'
        )
    lines = [_RULES.format(conditionals=conditionals), 'calls:']
    calls: list[Tool | Intent] = [*toolset.intents.values(), *toolset.tools.values()]
    lines += [_signature(item) for item in calls]
    for group in ('places', 'objects', 'equipment'):
        entities = [e for e in world.entities.values() if e.group == group]
        if entities:
            lines.append(f'{group}:')
            lines += [_entity_line(entity) for entity in entities]
    return '\n'.join(lines)


def _signature(item: Tool | Intent) -> str:
    args = ', '.join(_arg_text(arg) for arg in item.args.values())
    result = ''
    if isinstance(item, Tool) and item.risk == 'read':
        returned = main_return(item)
        result = f' -> {returned.type}' if returned is not None else ''
    return f'{item.name}({args}){result}  # {item.doc}'


def _arg_text(arg: Arg) -> str:
    if arg.type in ('number', 'integer'):
        return f'{arg.name} {arg.low:g}..{arg.high:g} {arg.unit}'
    if arg.type == 'enum' and len(arg.values) <= 4 and not arg.name.startswith(('object', 'place', 'to')):
        return f'{arg.name}: {"|".join(arg.values)}'
    return arg.name


def _entity_line(entity: Entity) -> str:
    words = f' ({", ".join(entity.words)})' if entity.words else ''
    where = f' at {entity.place}' if entity.group == 'equipment' and entity.place else ''
    unit = f' in {entity.attribute("unit")}' if entity.attribute('unit') else ''
    return f'{entity.id}{words}: {entity.doc}{where}{unit}'


def _now(world: World, state: State) -> str:
    """Return the facts that can change, shortest form first: where the robot and the objects are, what is open."""
    parts = []
    for fact in state.facts():
        entity = world.entities.get(fact.args[0]) if fact.args else None
        if entity is not None and entity.group == 'equipment' and fact.name == 'at':
            continue
        parts.append(f'{fact.name}({", ".join(fact.args)})={fact.value}')
    return ' '.join(parts)


# Examples, made from this robot's own names --------------------------------------------------------------------------
def examples(
    toolset: Toolset, world: World, hint: Callable[[str], str] = lambda _: ''
) -> tuple[tuple[str, str, str], ...]:
    """Return command, names (see `hint.hint`) and answer in this robot's own names; the same ones for every command."""
    return tuple((said, hint(said), code) for said, code in _Examples(toolset, world).pairs())


class _Examples:
    def __init__(self, toolset: Toolset, world: World) -> None:
        self._world = world
        self._toolset = toolset
        self._turn = 0

    def pairs(self) -> list[tuple[str, str]]:
        tools: list[Tool | Intent] = [*self._toolset.intents.values(), *self._toolset.tools.values()]
        simple = [item for item in tools if item.args]
        first, second = simple[0], simple[1 % len(simple)]
        said_1, call_1 = self._phrase(first)
        said_2, call_2 = self._phrase(second)
        pairs = [(said_1, call_1)]
        reading = readings(self._toolset)
        if reading:
            pairs.append(self._then(self._phrase(second), self._phrase(reading[0])))
            pairs += self._conditional(reading[0], simple)
        pairs.append((f'{said_2}, but do not {self._phrase(first)[0]}', call_2))
        said, call = self._phrase(simple[-1])
        pairs.append((f'{said} three times', f'repeat 3 {{\n{call}\n}}'))
        pairs += self._others(first)
        return pairs

    def _then(self, a: tuple[str, str], b: tuple[str, str]) -> tuple[str, str]:
        return f'{a[0]}, then {b[0]}', f'{a[1]}\n{b[1]}'

    def _conditional(self, tool: Tool, simple: list[Tool | Intent]) -> list[tuple[str, str]]:
        returned = main_return(tool)
        if returned is None or returned.type not in ('number', 'integer'):
            return []
        said, call = self._phrase(tool)
        act, act_call = self._phrase(
            next((item for item in simple if isinstance(item, Tool) and item.risk != 'read'), simple[0])
        )
        other, other_call = self._phrase(simple[-1])
        return [
            (
                f'{said}, if it is above 5 {act}, otherwise {other}',
                f'if {call} > 5 {{\n{act_call}\n}} else {{\n{other_call}\n}}',
            ),
            (f'{act} if the {self._subject(tool)} is less than 2', f'if {call} < 2 {{\n{act_call}\n}}'),
        ]

    def _subject(self, tool: Tool) -> str:
        arg = next(iter(tool.args.values()), None)
        return self._word(arg.values[0]) if arg is not None and arg.type == 'enum' else tool.doc

    def _others(self, first: Tool | Intent) -> list[tuple[str, str]]:
        self._phrase(first)
        objects = self._world.group('objects')
        verb = (first.words or (first.name,))[0]
        pairs = [
            (f'{verb} the ladder', 'cannot("no such thing: ladder")'),
            ('paint the wall', 'cannot("no call can paint")'),
        ]
        if objects and 'at' in self._world.functions:
            pairs.append((f'where is the {self._word(objects[-1])}?', f'answer(at({objects[-1]}))'))
            pairs.append(('where are you?', f'answer(at({self._world.robot}))'))
            place = self._world.group('places')[0]
            pairs.append((f'what is at the {self._word(place)}?', f'answer(contents({place}))'))
        pairs += self._state_question()
        pairs.append(('what can you do?', 'answer(tools)'))
        pairs.append((f'{verb} that thing', 'ask(object)' if objects else 'ask(task)'))
        return pairs

    def _state_question(self) -> list[tuple[str, str]]:
        """Return a question about a thing's state, "is the main valve open?": to be answered, not acted on."""
        for function in self._world.functions.values():
            things = sorted(function.of[0] - {self._world.robot}) if len(function.of) == 1 else []
            if things and function.name != 'at':
                value = sorted(function.value)[0]
                return [(f'is the {self._word(things[0])} {value}?', f'answer({function.name}({things[0]}))')]
        return []

    def _phrase(self, item: Tool | Intent) -> tuple[str, str]:
        """Return an order for this call and the call, each time with other values."""
        self._turn += 1
        words = [(item.words or (item.name.replace('_', ' '),))[0]]
        values = []
        for arg in item.args.values():
            value = self._value(arg)
            values.append(value)
            words.append(self._said(arg, value))
        return ' '.join(words), f'{item.name}({", ".join(values)})'

    def _value(self, arg: Arg) -> str:
        if arg.type == 'enum':
            return arg.values[self._turn % len(arg.values)]
        if arg.type == 'boolean':
            return 'true'
        middle = (arg.low + arg.high) / 2
        middle = round(middle / arg.step) * arg.step if arg.step else middle
        return f'{middle:g}'

    def _said(self, arg: Arg, value: str) -> str:
        entity = self._world.entities.get(value)
        if entity is None:
            return f'to {value} {arg.unit}'.rstrip() if arg.type != 'enum' else value
        return f'to the {self._word(value)}' if entity.group == 'places' else f'the {self._word(value)}'

    def _word(self, entity_id: str) -> str:
        entity = self._world.entities.get(entity_id)
        if entity is not None and entity.words and self._turn % 2:
            return entity.words[0]
        return entity_id.replace('_', ' ')
