"""The service's face: the OpenAI REST API, health, metrics."""
