"""The console: an HTTP API, and pages for the browser."""
