"""
A cluster as kubectl shows it: for ``status`` and ``report``, and as the way to an API that has no address outside.

Everything goes through kubectl, which is there where a plugin of it runs: it knows the kubeconfig, its credentials
and whatever program makes them, and the caller's rights are those of kubectl.
"""
