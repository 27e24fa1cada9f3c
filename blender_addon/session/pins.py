"""The vertices that the artist decided about, whatever the network says. No Blender in here."""

import numpy as np

from ..scan import vertex_set
from .state import HandEdit, ObjectState, Start


def pins_of(known: ObjectState, count: int) -> np.ndarray:
    """int8 (count,): 1 where the artist wants the vertex in, -1 where out, 0 where the network decides.

    Later words win over earlier ones. Vertices named before the mesh got another vertex count mean nothing any more.
    """
    pins = np.zeros(count, dtype=np.int8)
    for action in known.actions:
        if action.vertices != count or isinstance(action, Start):
            continue
        if isinstance(action, HandEdit):
            pins[vertex_set.unpack(action.add)] = 1
            pins[vertex_set.unpack(action.remove)] = -1
        else:
            pins[vertex_set.unpack(action.pins)] = 1 if action.positive else -1
    return pins
