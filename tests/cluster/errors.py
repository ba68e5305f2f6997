"""
What can go wrong before a cluster test runs.

    Exception
    ├── MissingProgramError   `binaries` and its sources; the fixtures turn it into a skip, or into a failure in CI
    └── ControlPlaneError     `ControlPlane.start`; always a failure
"""


class MissingProgramError(Exception):
    """A program of the control plane cannot be had; the message says why and what would help."""


class ControlPlaneError(Exception):
    """The control plane did not come up; the message ends with the logs of its programs."""
