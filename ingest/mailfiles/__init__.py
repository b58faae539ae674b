"""Mail in files: single messages, mbox files, Maildir folders, and ZIP archives of messages.

Whatever the form, a message comes out with the bytes that a POP3 server would send for it: lines end with CRLF
(RFC 5322 section 2.1), the last line too, and what the form itself added is taken away. So an imported message has
the same message key as the same message fetched.
"""
