"""Figures anyone can print again: speed and memory of the engines, of a click, of the wire."""
