"""Readers of containers (files that hold other files), and the recognition of e-invoices.

Our own readers (TNEF, CMS, XML start tags, EDIFACT) stream: no recursion, a bounded number of passes over each byte,
no copy of the whole file. Third-party readers (PDF) run in a guarded child process. No reader raises because of the
content of a file.
"""
