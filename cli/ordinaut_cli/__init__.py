"""
The command line of Ordinaut: for people and scripts, and as ``kubectl ordinaut``.

Most commands ask the REST API; ``validate``, ``preview -f`` and ``calendar -f`` need nothing but the files, ``migrate``
the database, and ``dev`` runs all of Ordinaut on one machine.
"""
