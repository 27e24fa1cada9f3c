"""Training on simulated scans: crops, simulated clicks, losses and the loop."""
