"""Other forms of a message's HTML: plain text, and HTML that is safe to show.

Both libraries are given what a stranger wrote. Short and simple HTML is converted here, which takes less than a
millisecond; everything else in a guarded process, as the parsers of browsers take quadratic time and memory for some.
"""
