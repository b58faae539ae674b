"""The steps from one form of the catalog to the next, run by alembic."""
