"""
Posts Kubernetes Events about skipped nominal times: what `kubectl describe` shows under a Task.

Who has fired hands over what was skipped, once that is committed; :mod:`series` decides what is told and when,
:mod:`event` says it and :mod:`recorder` posts it. Nothing waits for any of them: Events are news, the ledger is the
truth.
"""
