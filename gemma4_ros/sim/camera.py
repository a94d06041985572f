# SPDX-License-Identifier: Apache-2.0
"""Cameras of the cell: one OpenGL context, a copy of the model's state, pictures as numpy arrays."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np

from gemma4_ros.sim.drawing import Picture

__all__ = ['CameraError', 'Cameras']


class CameraError(RuntimeError):
    """No OpenGL for rendering."""


class Cameras:
    """
    Render named cameras of a model. Make, use and close it in one thread.

    Parameters
    ----------
    model : mujoco.MjModel
        The model; its texture bytes are overwritten by ``render``.
    max_width, max_height : int
        Largest picture that will be asked for, px.

    Raises CameraError where there is no OpenGL (EGL) to render with.
    """

    def __init__(self, model: mujoco.MjModel, max_width: int = 1280, max_height: int = 720) -> None:
        self._model = model
        try:
            self._gl = _context(max_width, max_height)
            self._gl.make_current()
            self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        except Exception as error:  # each platform's OpenGL raises its own
            raise CameraError(
                f'cannot render: no OpenGL through MUJOCO_GL={os.environ.get("MUJOCO_GL")} ({error}); '
                'install libegl1 and libgl1-mesa-dri, or run with render:=false'
            ) from error
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=1000)
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = 1
        self._data = mujoco.MjData(model)
        self._textures: dict[str, Picture] = {}

    def render(
        self, name: str, qpos: np.ndarray, textures: Mapping[str, Picture], width: int = 640, height: int = 480
    ) -> Picture:
        """
        Return what a camera sees.

        Parameters
        ----------
        name : str
            The camera's name in the model.
        qpos : (nq,) float64
            The joint positions to show.
        textures : mapping
            Pictures to put on, by texture name; an array that was put on before is taken as unchanged.
        width, height : int
            Size of the picture, px.

        Returns
        -------
        (height, width, 3) uint8, RGB

        """
        self._gl.make_current()
        for texture, picture in textures.items():
            self._upload(texture, picture)
        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        camera = mujoco.MjvCamera()
        camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        camera.fixedcamid = mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_CAMERA, name)
        mujoco.mjv_updateScene(
            self._model, self._data, self._option, None, camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        viewport = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(viewport, self._scene, self._context)
        picture = np.empty((height, width, 3), np.uint8)
        mujoco.mjr_readPixels(picture, None, viewport, self._context)
        return np.ascontiguousarray(picture[::-1])

    def close(self) -> None:
        """Free the context."""
        self._context.free()
        self._gl.free()

    def _upload(self, name: str, picture: Picture) -> None:
        if self._textures.get(name) is picture:
            return
        self._textures[name] = picture
        index = mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_TEXTURE, name)
        start = int(self._model.tex_adr[index])
        upright = picture[::-1] if name.startswith('dial') else picture  # cylinders and boxes map bottom and top apart
        flat = upright.reshape(-1)
        self._model.tex_data[start : start + flat.size] = flat
        mujoco.mjr_uploadTexture(self._model, self._context, index)


def _context(width: int, height: int) -> Any:
    if os.environ.get('MUJOCO_GL') != 'egl':
        return mujoco.GLContext(width, height)
    # not mujoco.GLContext: that one was chosen by the environment at the time of the first import of mujoco
    return importlib.import_module('mujoco.egl').GLContext(width, height)
