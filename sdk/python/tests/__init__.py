"""Tests of the Python client, against the real program over real sockets:

    CHAOSCTL=/path/to/chaosctl python3 -m unittest
"""
