"""Stands for the tests of tests/blender: conftest.py beside this file runs them in every Blender there is."""
