"""Who is calling: principals, token verification, service tokens, revocations."""
