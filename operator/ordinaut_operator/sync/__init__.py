"""
Takes declared objects over from a source into PostgreSQL: level-triggered, batched, and again until it worked.

A source (the Kubernetes watch, the watched directory) puts what it sees into a :class:`queue.Queue`; :mod:`batches`
writes it; :mod:`resync` finds what the watch has missed.
"""
