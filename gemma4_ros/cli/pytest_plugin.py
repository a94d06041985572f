# SPDX-License-Identifier: Apache-2.0
"""A bare ``pytest`` finds ROS 2 as ``gemma4`` does; loaded with -p (pyproject.toml), before pytest captures output."""

from gemma4_ros.cli.environment import ensure_ros_environment
from gemma4_ros.core.errors import ConfigError

try:
    ensure_ros_environment()
except ConfigError as _error:  # tests of core/ and backends/ need no ROS; those marked `ros` say why they are skipped
    ros_is_missing = str(_error)
else:
    ros_is_missing = ''
