"""What a network is fed: the channels of each input configuration, computed alike in training and in use."""

from dataclasses import dataclass

import torch
from torch import Tensor

CUBE_HALF_EDGE = 1.0
"""Half edge of a click's cube in voxels (InterObject3D eq. 1's epsilon)."""

INPUTS: dict[str, tuple[str, ...]] = {
    "rgb": ("rgb", "click_cubes"),
    "xyzrgb": ("xyz", "rgb", "click_cubes"),
    "xyz": ("xyz", "click_cubes"),
    "rgb-context": ("rgb", "offset", "click_cubes", "click_distance", "click_height", "click_colour"),
    "rgb-surface": (
        "rgb",
        "offset",
        "click_cubes",
        "click_distance",
        "click_height",
        "click_colour",
        "level",
        "click_plane",
    ),
    "xyz-context": ("offset", "click_cubes", "click_distance", "click_height"),
    "xyz-surface": ("offset", "click_cubes", "click_distance", "click_height", "level", "click_plane"),
}
for _inputs in ("rgb-surface", "xyz-surface"):
    INPUTS[_inputs.replace("surface", "feedback")] = (*INPUTS[_inputs], "previous")
"""Input configurations by name. `rgb` is that of InterObject3D's released weights, `xyzrgb` the paper's C = 6,
`xyz` its C = 3 for scans without colour; the `-context`, `-surface` and `-feedback` ones are ours."""
PAPER_INPUTS = ("rgb", "xyzrgb", "xyz")
"""Those that are the paper's."""
SEMANTIC = {"semantic-rgb": ("rgb",), "semantic-xyz": ("xyz",), "semantic-xyzrgb": ("xyz", "rgb")}
"""Those of semantic networks: colour, place or both. They know no clicks, and can only be started from."""
_LAYOUTS = INPUTS | SEMANTIC

_WIDTHS = {
    "rgb": 3,
    "xyz": 3,
    "offset": 3,
    "click_cubes": 2,
    "click_distance": 4,
    "click_height": 2,
    "click_colour": 2,
    "level": 1,
    "click_plane": 4,
    "previous": 2,
}
CLICKS_AT_ONCE = 64
"""Clicks whose distances from all points are in memory together."""
_COLOUR_GROUPS = ("rgb", "click_colour")
_REACHES = (0.3, 1.2)
_HEIGHT = 0.5
_COLOUR = 0.15
_PLANE = 0.05
_SLOPE = 0.05
"""Error of a normal: a plane is less sure the farther one is from where it was seen."""


@dataclass(frozen=True)
class ClickTensors:
    """An object's clicks on one region: xyz (K, 3) float metres in the region's frame, positive (K,) bool."""

    xyz: Tensor
    positive: Tensor


def input_width(inputs: str) -> int:
    """Channels of an input configuration."""
    return sum(_WIDTHS[group] for group in _LAYOUTS[inputs])


def channel_slices(inputs: str) -> dict[str, slice]:
    """Where each group of channels stands in an input configuration."""
    slices, start = {}, 0
    for group in _LAYOUTS[inputs]:
        slices[group] = slice(start, start + _WIDTHS[group])
        start += _WIDTHS[group]
    return slices


def uses_colour(inputs: str) -> bool:
    """Whether a configuration needs a scan with colours."""
    return "rgb" in INPUTS[inputs]


def uses_normals(inputs: str) -> bool:
    """Whether a configuration needs the normals of the surface."""
    return "level" in INPUTS[inputs]


def uses_previous(inputs: str) -> bool:
    """Whether a configuration is told the answer to the clicks before the newest one."""
    return "previous" in INPUTS[inputs]


def hide_colour(inputs: str, channels: Tensor) -> Tensor:
    """The channels (N, C) of an input configuration with all that comes of colour set to zero."""
    channels = channels.clone()
    for group, where in channel_slices(inputs).items():
        if group in _COLOUR_GROUPS:
            channels[:, where] = 0
    return channels


def encode_inputs(
    inputs: str,
    xyz: Tensor,
    rgb: Tensor | None,
    clicks: ClickTensors,
    voxel_size: float,
    normals: Tensor | None = None,
    previous: Tensor | None = None,
) -> Tensor:
    """Channels (N, C) float32 for points xyz (N, 3) in metres, rgb (N, 3) in [0, 1] or None, in the order of INPUTS.

    Voxels are floor(xyz / voxel_size); normals: (N, 3), signs arbitrary; previous: (N,) log-odds of the answer to the
    clicks before the newest one, None where there was none. Raises ValueError where a configuration that
    needs colours or normals gets none.
    """
    if uses_colour(inputs) and rgb is None:
        raise ValueError(f"input configuration '{inputs}' needs colours")
    if uses_normals(inputs) and normals is None:
        raise ValueError(f"input configuration '{inputs}' needs normals")
    per_sign = [_sign_channels(inputs, xyz, rgb, clicks, sign, voxel_size, normals) for sign in (True, False)]
    channels = []
    for group in INPUTS[inputs]:
        if group == "rgb":
            channels.append(rgb)
        elif group == "xyz":
            channels.append(xyz)
        elif group == "previous":
            channels.append(_previous_channels(previous, xyz))
        elif group == "level":
            channels.append(normals[:, 2:].abs())
        elif group == "offset":
            channels.append(xyz / voxel_size - torch.floor(xyz / voxel_size) - 0.5)
        else:
            channels.extend(sign[group] for sign in per_sign)
    return torch.cat(channels, 1)


def _sign_channels(
    inputs: str,
    xyz: Tensor,
    rgb: Tensor | None,
    clicks: ClickTensors,
    positive: bool,
    voxel_size: float,
    normals: Tensor | None,
) -> dict[str, Tensor]:
    """The click channels of one sign; all zero without clicks of it."""
    groups = [group for group in INPUTS[inputs] if group.startswith("click_")]
    at = clicks.xyz[clicks.positive == positive].to(xyz.dtype)
    if not len(at):
        return {group: xyz.new_zeros(len(xyz), _WIDTHS[group] // 2) for group in groups}
    parts = [_block_channels(groups, xyz, rgb, block, voxel_size, normals) for block in at.split(CLICKS_AT_ONCE)]
    channels, distance = parts[0]
    for other, farther in parts[1:]:
        nearer, distance = farther < distance, torch.minimum(distance, farther)
        for group in groups:
            if group == "click_height":  # that of the nearest click
                channels[group] = torch.where(nearer, other[group], channels[group])
            else:
                channels[group] = torch.maximum(channels[group], other[group])
    return channels


def _block_channels(
    groups: list[str], xyz: Tensor, rgb: Tensor | None, at: Tensor, voxel_size: float, normals: Tensor | None
) -> tuple[dict[str, Tensor], Tensor]:
    """The click channels (N, C) of clicks (K, 3) of one sign, and the distance (N, 1) of the nearest."""
    delta = xyz.unsqueeze(1) - at.unsqueeze(0)
    inside = (delta.abs() <= CUBE_HALF_EDGE * voxel_size * (1 + 1e-4)).all(2)
    channels = {"click_cubes": inside.any(1, keepdim=True).to(xyz.dtype)}
    distances = delta.square().sum(2).sqrt()
    distance, nearest = distances.min(1, keepdim=True)
    if "click_distance" in groups:
        channels["click_distance"] = torch.cat([torch.exp(-distance / reach) for reach in _REACHES], 1)
        height = delta[:, :, 2].gather(1, nearest)
        channels["click_height"] = torch.tanh(height / _HEIGHT)
        if "click_colour" in groups:
            # the colour under a click is the mean over its cube, or of the nearest voxel where the cube is empty
            weight = inside.to(xyz.dtype)
            weight[delta.square().sum(2).argmin(0), torch.arange(len(at), device=xyz.device)] += 1e-3
            under = (weight.t() @ rgb) / weight.sum(0).unsqueeze(1)
            channels["click_colour"] = torch.exp(-torch.cdist(rgb, under).amin(1, keepdim=True) / _COLOUR)
        if "click_plane" in groups:
            channels["click_plane"] = _plane_channels(delta, distances, normals)
    return channels, distance


def _previous_channels(previous: Tensor | None, xyz: Tensor) -> Tensor:
    """(N, 2): the last mask as 1 and -1, and how sure it was; all zero where there was none."""
    if previous is None:
        return xyz.new_zeros(len(xyz), 2)
    previous = previous.to(xyz)
    return torch.stack([torch.where(previous > 0, 1.0, -1.0), torch.tanh(previous / 2)], 1)


def _plane_channels(delta: Tensor, distances: Tensor, normals: Tensor) -> Tensor:
    """(N, 2): how near each point is to the plane of the surface under the best click, and how parallel as well.

    delta: (N, K, 3) from each click, distances: (N, K), its lengths. Large things are flat: walls, floors, table tops.
    """
    under = normals[distances.argmin(0)]
    off = (delta * under).sum(2).abs()
    near = torch.exp(-off / (_PLANE + _SLOPE * distances))
    parallel = near * (normals @ under.t()).abs()
    return torch.stack([near.amax(1), parallel.amax(1)], 1)
