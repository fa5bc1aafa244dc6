"""What every Aula service is built on; only `aula_common.web` knows FastAPI."""
