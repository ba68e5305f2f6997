"""Following the log of events live: what somebody wants of it, who reads it, and how it is told."""
