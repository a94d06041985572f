#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write config/schema/*-1.json from the schemas in gemma4_ros/core; a test holds them equal."""

from __future__ import annotations

import json
from pathlib import Path

from gemma4_ros.core import schemas
from gemma4_ros.core.gate.policy_schema import POLICY

FOLDER = Path(__file__).resolve().parent.parent / 'config' / 'schema'
FILES = {
    'world-1': schemas.WORLD,
    'tools-1': schemas.TOOLS,
    'plan-1': schemas.PLAN,
    'policy-1': POLICY,
    'watch-1': schemas.WATCH,
}


def main() -> None:
    """Write all of them."""
    for name, schema in FILES.items():
        (FOLDER / f'{name}.json').write_text(json.dumps(schema, indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
