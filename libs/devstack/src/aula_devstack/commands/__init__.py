"""What the `aula` commands do."""
