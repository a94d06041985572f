# SPDX-License-Identifier: Apache-2.0
"""``gemma4 read``: typed values from pictures, or why they cannot be read."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from gemma4_ros.cli.paths import config_dir
from gemma4_ros.core.errors import ConfigError, Gemma4Error
from gemma4_ros.core.reading.gauge import CannotRead, Dial, Reading, read_gauge
from gemma4_ros.core.world_file import load_world

__all__ = ['app', 'load_picture']

DONE, WRONG_USAGE, FAILED = 0, 2, 5
MAX_FILE_BYTES = 40_000_000
MAX_PIXELS = 50_000_000
app = typer.Typer(help='Read instruments from pictures.', no_args_is_help=True)


@app.callback()
def read() -> None:
    """Read instruments from pictures."""


@app.command()
def gauge(
    image: Annotated[Path, typer.Argument(help='a PNG or JPEG picture')],
    gauge: Annotated[str, typer.Option('--gauge', help='id of the gauge in the world file')],
    world: Annotated[Path | None, typer.Option('--world', help='world file; default: the one of the package')] = None,
    as_json: Annotated[bool, typer.Option('--json', help='one JSON document on standard output')] = False,
) -> None:
    """Read a dial gauge. Example: gemma4 read gauge photo.png --gauge pressure_gauge"""
    try:
        dial = _dial(world or config_dir() / 'world.yaml', gauge)
        result = read_gauge(load_picture(image), dial)
    except Gemma4Error as error:
        _fail(as_json, {'status': 'error', 'code': error.code, 'text': str(error)}, str(error), WRONG_USAGE)
    if isinstance(result, CannotRead):
        shown = {'status': 'cannot_read', 'gauge': gauge, **dataclasses.asdict(result)}
        _fail(as_json, shown, f'{gauge} cannot be read ({result.reason}): {result.text}', FAILED)
    _show(gauge, result, as_json)


def load_picture(path: Path) -> NDArray[np.uint8]:
    """
    Read a picture as RGB.

    Raises
    ------
    ConfigError
        It is missing, too large, or no picture.

    """
    try:
        size = path.stat().st_size
        data = path.read_bytes() if 0 < size <= MAX_FILE_BYTES else b''
    except OSError as error:
        raise ConfigError(f'{path} cannot be read: {error.strerror}') from None
    if not data:
        raise ConfigError(f'{path} has {size} bytes; wanted a picture of 1 to {MAX_FILE_BYTES} bytes')
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:  # more pixels than OpenCV takes
        raise ConfigError(f'{path} is not a picture that can be used: {error.err}') from None
    if pixels is None or pixels.shape[0] * pixels.shape[1] > MAX_PIXELS:
        raise ConfigError(f'{path} is no picture in PNG or JPEG of at most {MAX_PIXELS} pixels')
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def _dial(path: Path, gauge: str) -> Dial:
    try:
        text = path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'cannot read the world file {path}: {error}') from None
    world = load_world(text, str(path))
    entity = world.entities.get(gauge)
    dial = entity.attribute('dial') if entity is not None else None
    if entity is None or dial is None:
        known = ', '.join(e.id for e in world.entities.values() if e.attribute('dial')) or 'none'
        raise ConfigError(f'{path} has no gauge {gauge!r} with a dial; there are: {known}')
    ends = {name: float(dial[name]) for name in ('min', 'max', 'start_deg', 'end_deg')}
    return Dial(**ends, unit=str(entity.attribute('unit')))


def _show(gauge: str, reading: Reading, as_json: bool) -> None:
    if as_json:
        print(json.dumps({'status': 'ok', 'gauge': gauge, **dataclasses.asdict(reading)}))
        return
    print(
        f'{gauge}: {reading.value:.4g} {reading.unit}, 95 % interval {reading.low:.4g} to {reading.high:.4g}, '
        f'confidence {reading.confidence:.2f}'
    )


def _fail(as_json: bool, document: dict[str, Any], text: str, code: int) -> NoReturn:
    if as_json:
        print(json.dumps(document))
    else:
        print(text, file=sys.stderr)
    raise typer.Exit(code)
