"""Every test of the repository may ask for real servers: see `aula_devstack.testing`."""

pytest_plugins = ["aula_devstack.testing"]
