"""
The description of the API as OpenAPI 3.1, which clients are made from and tests are driven by.

``document`` puts it together from the routes; ``schemas`` says what manifests are, ``bodies`` what requests hold,
``parts`` what many operations share. The result is committed as ``docs/openapi.json``; a test fails when it differs.
"""
