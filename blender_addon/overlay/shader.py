"""The one shader of the overlay: points or triangles in their own colours, tinted by the object they belong to."""

import gpu
import numpy as np

PALETTE_WIDTH = 1024
CLIP_PLANES = 6

_VERTEX = """
float linear(float c) { return c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4); }

void main()
{
  vec4 local = vec4(position, 1.0);
  int index = int(label + 1.5);
  vec4 tint = texelFetch(palette, ivec2(index % PALETTE_WIDTH, index / PALETTE_WIDTH), 0);
  vec3 mixed = mix(color.rgb, tint.rgb, faces ? 1.0 : tint.a);
  float seen = masks_only && (index == 0 || tint.a == 0.0) ? 0.0 : 1.0;
  shade = vec4(linear(mixed.r), linear(mixed.g), linear(mixed.b), seen * (faces ? tint.a : opacity));
  gl_Position = matrix * local;
  gl_Position.z -= bias;
  gl_PointSize = point_size;
  bool left_out = index < 0 || tint.a < 0.0;
  for (int i = 0; i < clip.count.x; i++) {
    left_out = left_out || dot(clip.planes[i], local) <= 0.0;
  }
  if (left_out) {
    shade.a = 0.0;  // a face; moving one of its corners away would stretch it
    if (!faces) { gl_Position = vec4(2.0, 2.0, 2.0, 1.0); }
  }
}
"""

# no discard: it would keep the depth test from sparing points that lie behind others their colouring
_FRAGMENT = """
void main()
{
  result = shade;
}
"""

_shader: gpu.types.GPUShader | None = None


def get() -> gpu.types.GPUShader:
    """The compiled shader; needs a GPU context, so it is made with the first drawing."""
    global _shader
    if _shader is None:
        between = gpu.types.GPUStageInterfaceInfo("scanpick_between")
        between.flat("VEC4", "shade")
        info = gpu.types.GPUShaderCreateInfo()
        info.define("PALETTE_WIDTH", str(PALETTE_WIDTH))
        info.typedef_source("struct Clip { vec4 planes[6]; ivec4 count; };")
        info.uniform_buf(0, "Clip", "clip")
        info.push_constant("MAT4", "matrix")
        info.push_constant("FLOAT", "point_size")
        info.push_constant("FLOAT", "opacity")
        info.push_constant("FLOAT", "bias")
        info.push_constant("BOOL", "faces")
        info.push_constant("BOOL", "masks_only")
        info.sampler(0, "FLOAT_2D", "palette")
        info.vertex_in(0, "VEC3", "position")
        info.vertex_in(1, "VEC4", "color")
        info.vertex_in(2, "FLOAT", "label")
        info.vertex_out(between)
        info.fragment_out(0, "VEC4", "result")
        info.vertex_source(_VERTEX)
        info.fragment_source(_FRAGMENT)
        _shader = gpu.shader.create_from_info(info)
    return _shader


def release() -> None:
    global _shader
    _shader = None


def clip_buffer(planes: np.ndarray) -> gpu.types.GPUUniformBuf:
    """The planes (P, 4), in coordinates of the mesh, behind which nothing is drawn."""
    block = np.zeros(CLIP_PLANES * 4 + 4, dtype=np.float32)
    block[: planes.size] = planes.ravel()
    block[CLIP_PLANES * 4 :].view(np.int32)[0] = len(planes)
    return gpu.types.GPUUniformBuf(gpu.types.Buffer("FLOAT", len(block), block))


def palette_texture(colors: np.ndarray) -> gpu.types.GPUTexture:
    """A texture of RGBA colours (K, 4); row k is for label k - 1."""
    rows = -(-len(colors) // PALETTE_WIDTH)
    whole = np.zeros((rows * PALETTE_WIDTH, 4), dtype=np.float32)
    whole[: len(colors)] = colors
    data = gpu.types.Buffer("FLOAT", whole.size, whole.ravel())
    return gpu.types.GPUTexture((PALETTE_WIDTH, rows), format="RGBA32F", data=data)
