"""What happens to a request between the client and a model: stages, each wrapped around the next one."""
