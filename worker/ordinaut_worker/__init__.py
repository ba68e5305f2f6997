"""The worker: leases due work, runs pipelines step by step, and settles what came of it."""
