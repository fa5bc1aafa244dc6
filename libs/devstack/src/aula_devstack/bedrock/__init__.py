"""A local Amazon Bedrock: AWS's own wire protocol for Converse and ConverseStream."""
