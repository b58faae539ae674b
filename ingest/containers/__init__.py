"""What is inside of attachments: the files in containers, and which of them are e-invoices.

Readers of our own (TNEF, CMS, XML start tags, EDIFACT) never recurse, touch each byte a bounded number of times and
keep none; foreign ones (PDF) run in a guarded child process. Nothing here raises for what is in a file.
"""
