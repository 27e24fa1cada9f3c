"""Scans: meshes and point clouds as arrays, masks, colours, sampling."""
