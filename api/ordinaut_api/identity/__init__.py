"""
Who calls, and whether they may: from the headers of a request to a caller with a right.

``guard`` is what routes declare; ``gatekeeper`` answers it, with the authorities that the settings name.
"""
