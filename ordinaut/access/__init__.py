"""
Who calls, and what callers may do.

Pure but for reading the access file: identities, the rights that exist, the roles that bundle them, and the reviews
that the Kubernetes API server is asked for. The api checks requests with it, the operator the creators of tasks when
their times come.
"""
