"""Vector stores: files are parsed, cut into chunks, embedded and found again, each tenant's own apart from all others."""
