"""Evaluation of click segmentation: scenes, simulated clicks, metrics, baselines, reports."""
