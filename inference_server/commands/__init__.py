"""The commands of the service and its client, a module for each."""
