"""
Ordinaut: time, state and discipline for AI agents on Kubernetes.

This package is the core that every process shares; it imports no kopf, FastAPI, APScheduler or Kubernetes client.
"""

from importlib import metadata

__version__ = metadata.version("ordinaut")
