"""Scanpick's inference server: interactive object segmentation in 3D scans."""

__version__ = "0.1.0"
