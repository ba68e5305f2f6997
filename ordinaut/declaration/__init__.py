"""
Taking over what users declare, and acting on it: the layer that joins resources, schedules, engine and store.

The operator, the api and the command line all come through here, so that a manifest means the same wherever it is
given.
"""
