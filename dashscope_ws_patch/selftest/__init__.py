"""A loopback service and every surface of the SDK; the shim imports none of it."""
