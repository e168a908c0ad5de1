"""The HTTP service and its page: strangers' code compiled in sandboxes (docs/service.md)."""
