#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All tests: first on every core; then, one by one, those that hold processes or real time to a bound.
# With arguments: one run of pytest with them.
set -uo pipefail
cd "$(dirname "$0")/.."
export GEMMA4_TESTS_MUST_RUN=1
[ $# -gt 0 ] && exec python -m pytest "$@"
status=0
python -m pytest -q --durations=12 -n logical --maxprocesses 4 --dist loadfile -m "not timed" || status=1
python -m pytest --durations=12 -m "timed and not attack" || status=1
# Attacks that kill, flood and starve processes: last, and in a ROS domain of their own, as a killed gate stays on the graph.
ROS_DOMAIN_ID=92 python -m pytest -m "timed and attack" || status=1
exit $status
