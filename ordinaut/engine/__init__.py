"""
The engine: pure decisions about pipelines.

``plan`` compiles a pipeline, ``template`` and ``expression`` render its inputs, ``schema`` checks data, ``cursor``
says what comes next in a run, ``retry`` when a failed step is tried again.
"""
