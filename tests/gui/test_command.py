"""The command for pipelines, called as a pipeline calls it: Blender as a program, without a window."""

import subprocess

MAKE = """
import sys, bpy
bpy.ops.wm.read_homefile(use_empty=True)
mesh = bpy.data.meshes.new("scan")
mesh.from_pydata([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], [], [(0, 1, 2, 3)])
scan = bpy.data.objects.new("scan", mesh)
bpy.context.collection.objects.link(scan)
bpy.context.view_layer.objects.active = scan
bpy.ops.scanpick.object_new(name="plate 🪑/a")
scan.vertex_groups.new(name="plate 🪑/a").add([0, 1, 2, 3], 1.0, "REPLACE")
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[-1])
"""


def blender(program, environment, *arguments):
    called = [str(program), *map(str, arguments)]
    return subprocess.run(called, env=environment, capture_output=True, text=True, timeout=180)


def test_objects_and_labels_of_a_file_become_files(blender_program, blender_home, tmp_path):
    script, scene, out = tmp_path / "make.py", tmp_path / "room.blend", tmp_path / "out"
    script.write_text(MAKE, encoding="utf-8")
    done = blender(blender_program, blender_home, "--background", "--python", script, "--", scene)
    assert scene.exists(), done.stdout + done.stderr
    command = ("--command", "scanpick_export", scene, "--out", out)
    done = blender(blender_program, blender_home, *command, "--format", "GLB", "--pattern", "{scan}-{object}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in out.iterdir()] == ["scan-plate 🪑_a.glb"]
    assert str(out / "scan-plate 🪑_a.glb") in done.stdout.splitlines()
    done = blender(blender_program, blender_home, *command, "--labels", "NPZ")
    assert done.returncode == 0 and (out / "scan.npz").exists(), done.stdout + done.stderr
    done = blender(blender_program, blender_home, *command, "--pattern", "{what}")
    assert done.returncode == 2
    assert "naming pattern" in done.stderr + done.stdout
