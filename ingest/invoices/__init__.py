"""Recognition of e-invoices by their content, and the fields of those that are structured.

One table for each format says by which marks it is recognised and where its fields are. Files are read as streams, in
one pass, under limits; no reader raises because of the content of a file.
"""
