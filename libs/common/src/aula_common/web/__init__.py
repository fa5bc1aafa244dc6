"""The web side that all services share. The only place in common that knows FastAPI."""
