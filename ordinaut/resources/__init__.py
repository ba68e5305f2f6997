"""
The resources Task, Pipeline, Tool and Hook of ``ordinaut.io/v1alpha1``: the one place where their fields are declared.

Everybody who takes a manifest in (the operator, REST, the command line, the watched directory) calls
`manifest.parse`, which answers with a model or with `Invalid`. ``crd`` makes the CustomResourceDefinitions from the
same models, so the API server refuses the same input with the same words.
"""
