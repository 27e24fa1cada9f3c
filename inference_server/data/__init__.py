"""Readers of scans and data sets, and simulated scans."""
