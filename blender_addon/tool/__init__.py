"""The click tool: picking, hovering, keys."""
