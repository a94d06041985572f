# SPDX-License-Identifier: Apache-2.0
"""The simulated cell: physics, controllers, cameras, HMI screen, voices."""

import ctypes.util
import os

# MuJoCo chooses its OpenGL when it is imported and fails where that is not installed.
os.environ.setdefault('MUJOCO_GL', 'egl' if ctypes.util.find_library('EGL') else 'disable')
