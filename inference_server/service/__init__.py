"""The service: one process that answers clients, and the worker processes that run the network for it."""
