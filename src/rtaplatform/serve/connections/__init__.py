"""Limits that the HTTP server lacks: on connections, on slow clients, on bytes held, and on malformed requests."""
