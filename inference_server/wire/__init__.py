"""The wire between the add-on and the server: messages, client, and where the server is installed.

Standard library, numpy, zmq and blake3 only, relative imports only: the build copies this folder whole into the add-on.
"""
