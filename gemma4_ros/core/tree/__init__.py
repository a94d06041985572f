# SPDX-License-Identifier: Apache-2.0
"""From a plan to a behaviour tree that goes on by outcomes; no ROS, no clock."""
