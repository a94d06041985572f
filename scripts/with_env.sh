#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run a command in the environment of this clone: `scripts/with_env.sh pytest test/node`, `scripts/with_env.sh bash`.
# gemma4_ros/cli/environment.py says the same in Python; test/contract/test_packaging_environment.py holds them together.
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
[ -x "$root/.venv/bin/python" ] || { echo "with_env: no virtual environment yet; run: make setup" >&2; exit 2; }

note="$root/.venv/.setup/distribution.json" # the ROS 2 distribution that setup found, if it found one
if [ -f "$note" ]; then
  distribution=$(sed -n 's/.*"prefix": "\([^"]*\)".*/\1/p' "$note")
  case ":${AMENT_PREFIX_PATH:-}:" in
    *":$distribution:"*) ;;
    *) # shellcheck disable=SC1091
      . "$distribution/setup.sh" ;;
  esac
  underlay=${AMENT_PREFIX_PATH:-}
else
  underlay="$root/.venv"
fi

overlay="$root/install/gemma4_ros"
python=$(basename "$(ls -d "$root"/.venv/lib/python3.* | head -n 1)")
packages="$overlay/lib/$python/site-packages"
# prepend LIST ENTRY: put an entry at the head of a list with colons, unless it is in it.
prepend() { case ":$1:" in *":$2:"*) printf %s "$1" ;; *) printf %s "$2${1:+:$1}" ;; esac; }
AMENT_PREFIX_PATH=$(prepend "$underlay" "$overlay")
LD_LIBRARY_PATH=$(prepend "${LD_LIBRARY_PATH:-}" "$overlay/lib")
PYTHONPATH=$(prepend "${PYTHONPATH:-}" "$packages")
PATH=$(prepend "$PATH" "$root/.venv/bin")
# Our own default: nothing leaves this machine.
: "${ROS_AUTOMATIC_DISCOVERY_RANGE:=LOCALHOST}"
# The wheels start Python twice to set LD_LIBRARY_PATH; a mark left by another environment would stop that.
case ":$LD_LIBRARY_PATH:" in *":$root/.venv/lib:"*) ;; *) unset _ROS_WHEELS_BOOTSTRAP_COMPLETE ;; esac
export AMENT_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH PATH ROS_AUTOMATIC_DISCOVERY_RANGE
exec "$@"
