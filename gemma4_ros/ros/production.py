# SPDX-License-Identifier: Apache-2.0
"""With ``production: true`` a node starts only with DDS security enforced, in its own enclave, on real time."""

from __future__ import annotations

import itertools
import mmap
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from gemma4_ros.core.errors import ConfigError

if TYPE_CHECKING:
    from rclpy.node import Node

__all__ = ['FILES', 'OVERRIDE', 'PRODUCTION', 'enclave_of', 'hold', 'is_said', 'lacking', 'plugins_lacking', 'require']

PRODUCTION, SIM_TIME = 'production', 'use_sim_time'
OVERRIDE = 'ROS_SECURITY_ENCLAVE_OVERRIDE'
FILES = (
    'identity_ca.cert.pem',
    'cert.pem',
    'key.pem',
    'permissions_ca.cert.pem',
    'governance.p7s',
    'permissions.p7s',
)
"""What an enclave's folder must hold before a node can join."""
_NO = {'false', 'no', 'off', 'n', '0', ''}
# Texts that a library holds only where it was built without security, and one that a Fast DDS with security holds.
_WITHOUT = {
    'librmw_fastrtps_shared_cpp': b"This Fast DDS version doesn't have the security libraries",
    'libfastdds': b'but security is disabled',
    'libfastrtps': b'but security is disabled',
    'librmw_cyclonedds_cpp': b'Security was requested but the Cyclone DDS being used does not have security',
}
_WITH = {'libfastdds': b'PKI-DH', 'libfastrtps': b'PKI-DH'}
_KNOWN = {
    'rmw_fastrtps_cpp': 'librmw_fastrtps_shared_cpp',
    'rmw_fastrtps_dynamic_cpp': 'librmw_fastrtps_shared_cpp',
    'rmw_cyclonedds_cpp': 'librmw_cyclonedds_cpp',
}


def is_said(name: str, nodes: Sequence[str], ros_args: Sequence[str]) -> bool:
    """
    Say whether command line or parameter files set a parameter to true for one of the nodes, before any node exists.

    In doubt yes: any file or option counts, whatever comes after it.
    """
    for option, value in _options(ros_args):
        if option in ('-p', '--param'):
            left, _, given = value.partition(':=')
            node, _, parameter = left.rpartition(':')
            if parameter == name and (not node or _is_of(node, nodes)) and given.strip('\'"').lower() not in _NO:
                return True
        elif option == '--params-file' and any(_is_true(name, node, nodes) for node in _sections(Path(value))):
            return True
    return False


def enclave_of(ros_args: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return the enclave that the process will have: the environment's override, that of the options, or ``/``."""
    given = [value for option, value in _options(ros_args) if option in ('-e', '--enclave')]
    return environment.get(OVERRIDE) or (given[-1] if given else '/')


def require(nodes: Sequence[str], ros_args: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Raise ConfigError with one sentence where something is missing that production needs."""
    sentence = lacking(nodes, ros_args, os.environ if environment is None else environment)
    if sentence:
        raise ConfigError(f'production: {sentence}')


def lacking(nodes: Sequence[str], ros_args: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return one sentence on the first thing that is missing; empty where nothing is."""
    if len(nodes) > 1:
        return f'{" and ".join(nodes)} share a process and with it an enclave; start every node by itself'
    if is_said(SIM_TIME, nodes, ros_args):
        return 'use_sim_time is true; whoever publishes /clock would decide what is stale: set it to false'
    return _environment_lacks(environment) or _enclave_lacks(nodes[0], ros_args, environment) or plugins_lacking()


def hold(node: Node, *, is_known: bool) -> None:
    """
    Declare ``production`` of a node and hold it to that.

    Parameters
    ----------
    node : Node
        Has been constructed and does not run yet.
    is_known : bool
        `require` was asked before the node was there.

    Raises
    ------
    ConfigError
        The parameter is true and `require` was not asked, or the time is simulated.

    """
    from rcl_interfaces.msg import ParameterDescriptor

    about = ParameterDescriptor(
        description='start only with DDS security enforced, see docs/security.md', read_only=True
    )
    try:
        is_production = bool(node.declare_parameter(PRODUCTION, False, about).value)
    except Exception as error:  # noqa: BLE001 - rclpy raises several kinds for a value of another type
        raise ConfigError(f'production: {error}') from None
    if not is_production and not is_known:
        return
    if not is_known:
        raise ConfigError('production: set it in a parameter file, or with -p, of the process itself')
    if node.get_parameter(SIM_TIME).value:
        raise ConfigError(f'production: {SIM_TIME} is true; set it to false')
    node.add_on_set_parameters_callback(_refuse_sim_time)


def plugins_lacking() -> str:
    """Return why the middleware that ROS has loaded cannot encrypt; empty where it can, as far as its files tell."""
    from rclpy.utilities import get_rmw_implementation_identifier

    name = get_rmw_implementation_identifier()  # loads it
    if name not in _KNOWN:
        return f'{name}: nobody has said here how to see its security plugins; use {" or ".join(sorted(_KNOWN))}'
    loaded = _loaded()
    if not any(path.name.startswith(_KNOWN[name]) for path in loaded):
        return f'{name}: its library {_KNOWN[name]} is not loaded, so nobody can say whether it has security plugins'
    for path in loaded:
        library = path.name.partition('.')[0]
        if library not in _WITHOUT:
            continue
        if _holds(path, _WITHOUT[library]) or not _holds(path, _WITH.get(library, b'')):
            return f'{path.name} was built without DDS security plugins; use the {name} of a ROS 2 distribution'
    return ''


# What must be there ---------------------------------------------------------------------------------------------------
def _environment_lacks(environment: Mapping[str, str]) -> str:
    for name, wanted in (('ROS_SECURITY_ENABLE', 'true'), ('ROS_SECURITY_STRATEGY', 'Enforce')):
        if environment.get(name) != wanted:
            return f'{name} is {environment.get(name) or "not set"}; it must be {wanted}'
    folder = environment.get('ROS_SECURITY_KEYSTORE', '')
    if not folder or not (Path(folder) / 'enclaves').is_dir():
        what = f'{folder} has no folder enclaves' if folder else 'not set'
        return f'ROS_SECURITY_KEYSTORE: {what}; make a keystore with: ros2 security create_keystore'
    return ''


def _enclave_lacks(node: str, ros_args: Sequence[str], environment: Mapping[str, str]) -> str:
    enclave = enclave_of(ros_args, environment)
    if enclave.rpartition('/')[2] != node:
        return f'the enclave is {enclave}, not one of its own; start {node} with --enclave /{node}'
    folder = Path(environment['ROS_SECURITY_KEYSTORE']) / 'enclaves' / enclave.lstrip('/')
    for name in FILES:
        try:
            with (folder / name).open('rb') as file:
                is_empty = not file.read(1)
        except OSError as error:
            return f'the enclave {enclave} lacks {name}: {folder / name}: {error.strerror}'
        if is_empty:
            return f'the enclave {enclave} lacks {name}: {folder / name} is empty'
    return ''


def _refuse_sim_time(parameters: list[Any]) -> Any:
    from rcl_interfaces.msg import SetParametersResult

    refused = any(parameter.name == SIM_TIME and parameter.value for parameter in parameters)
    return SetParametersResult(successful=not refused, reason='production runs on real time' if refused else '')


# Options and files of parameters --------------------------------------------------------------------------------------
def _options(ros_args: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield every option of ROS with its value."""
    return itertools.pairwise(ros_args)


def _is_of(pattern: str, nodes: Sequence[str]) -> bool:
    """Say whether a name in a parameter file, ``/**/gate``, may mean one of the nodes; only its last part counts."""
    last = pattern.rpartition('/')[2]
    return any(re.fullmatch(re.escape(last).replace(r'\*', '.*'), node) for node in nodes)


def _is_true(name: str, section: tuple[str, Mapping[str, Any]], nodes: Sequence[str]) -> bool:
    pattern, parameters = section
    return _is_of(pattern, nodes) and str(parameters.get(name, False)).lower() not in _NO


def _sections(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield name and parameters of each section; a file that cannot be read has none, ROS itself will refuse it."""
    try:
        todo: list[tuple[str, Any]] = [('', yaml.safe_load(path.read_text(encoding='utf-8')))]
    except (OSError, ValueError, yaml.YAMLError):
        return
    while todo:
        name, item = todo.pop()
        if isinstance(item, dict) and isinstance(item.get('ros__parameters'), dict):
            yield name, item['ros__parameters']
        elif isinstance(item, dict):
            todo += [(f'{name}/{key}', value) for key, value in item.items()]


# Libraries ------------------------------------------------------------------------------------------------------------
def _loaded() -> list[Path]:
    """Return the shared libraries of this process."""
    lines = Path('/proc/self/maps').read_text(encoding='utf-8').splitlines()
    return sorted({Path(line.split(maxsplit=5)[5]) for line in lines if '.so' in line and line.count(' ') >= 5})


def _holds(path: Path, text: bytes) -> bool:
    with path.open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(text) >= 0
