"""The inference server: connection and process."""
