"""The inference server: the connection, the process where Blender starts it, and conversions of files beside it."""
