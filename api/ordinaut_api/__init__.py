"""
The REST API of Ordinaut: what people, agents and the command line ask and tell it.

One of the three processes, started by ``python -m ordinaut_api``. It is stateless: everything it knows is in
PostgreSQL, so any number of replicas may run.
"""
