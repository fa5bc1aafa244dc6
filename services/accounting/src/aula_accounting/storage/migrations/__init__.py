"""The history of the schema, applied by `accounting migrate`."""
