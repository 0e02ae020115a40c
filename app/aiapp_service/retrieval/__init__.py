"""Vector stores: files are read, cut into chunks, embedded and found again, each tenant's own apart."""
