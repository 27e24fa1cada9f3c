"""The demo: a scripted artist clicks objects out of a scan in a Blender without a window."""
