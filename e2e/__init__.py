"""
The whole of Ordinaut on a Kubernetes cluster, from building the image to taking everything away again.

``make e2e`` runs ``python -m e2e``: a cluster of its own by kind, where Docker is. What each step does is in `steps`,
so that ``tests/chart`` can take the same steps against an API server where neither Docker nor nodes are.
"""
