"""Who calls: API keys, tokens of an identity provider, and the address a request came from."""
