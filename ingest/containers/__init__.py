"""Readers of containers (files that hold other files).

Our own readers (TNEF, CMS) stream: no recursion, a bounded number of passes over each byte,
no copy of the whole file. Third-party readers (PDF) run in a guarded child process. No reader raises because of the
content of a file.
"""
