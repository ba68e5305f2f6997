"""
``ordinaut dev``: all of Ordinaut on one machine, with no cluster and nothing to install by hand.

``command`` reads the options, ``session`` runs the show: it starts ``servers`` (PostgreSQL and Valkey from wheels)
and ``processes`` (the very same ones as the chart starts), shows the ``events`` as they happen, and stops everything
in order.
"""
