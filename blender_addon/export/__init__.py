"""Bringing objects and labels out of the scan, and labels into it."""
