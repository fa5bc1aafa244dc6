"""The embedded servers: each a real one, run as a child process on 127.0.0.1."""
