"""
The store: PostgreSQL, one module per topic, SQL in ``sql/*.sql``.

Functions take an open connection and are parts of the caller's transaction unless they say otherwise.
"""
