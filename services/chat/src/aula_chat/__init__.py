"""Conversations, and answers that stream, resume and can be observed."""
