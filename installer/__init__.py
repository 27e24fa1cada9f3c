"""What `install.py` does, in modules that import the standard library only (Python 3.10 and newer)."""
