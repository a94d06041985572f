# SPDX-License-Identifier: Apache-2.0
"""Semantic planning and operator copilot for ROS 2."""

from pkgutil import extend_path

# The source tree holds the code and the overlay holds the generated msg, srv and action: one package from any folder.
__path__ = extend_path(__path__, __name__)
