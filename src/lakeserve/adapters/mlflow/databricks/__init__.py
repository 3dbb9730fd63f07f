"""What training code finds that sets its tracking URI to ``databricks`` and its registry URI to ``databricks-uc``.

A layer around MLflow's own app, in the same process and over the same stores. :mod:`.app` sends each request to the Files API
(:mod:`.files`, :mod:`.multipart`, :mod:`.signed_urls`), to Unity Catalog's model registry (:mod:`.unity_catalog`), or on to
MLflow, whose answers :mod:`.artifact_uris` translates for these clients. :mod:`.places` says where a path of theirs lies, so
that both kinds of client see the same artifacts and the same models.
"""
