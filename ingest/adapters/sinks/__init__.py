"""Sinks: the destinations of events."""
