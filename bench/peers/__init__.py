"""
The queues that Ordinaut is measured beside, a program each, and Ordinaut's own two.

Each is what its documentation recommends for throughput. All follow one protocol (:mod:`bench.peers.protocol`, and
``protocol.mjs`` for Node.js), so that :mod:`bench.contest` need not know which is which.
"""
