"""Networks by name, their inputs, and their checkpoints."""
