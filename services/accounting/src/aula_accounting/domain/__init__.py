"""What credits are, and which rules they obey."""
