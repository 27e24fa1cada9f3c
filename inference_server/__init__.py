"""Scanpick's inference server: interactive object segmentation in 3D scans."""

import os

__version__ = "0.1.0"

# What PyTorch can't do on Apple's MPS it then does on the CPU instead of failing. It reads this as it is imported, and
# nothing of ours, in whichever process, is imported before this module.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
