"""Object stores with an HTTP API of their own: Google Cloud Storage and Azure Blob Storage.

`store.py` is the store, `http.py` makes its requests; `gcs.py` and `azure.py` know one API each.
"""
