"""The catalog: an index of messages for people who search.

It holds nothing that the store does not, may be lost at any time, and is built again from manifests. Nothing in the
path of a message writes to it: it follows the event stream without a consumer group.
"""
