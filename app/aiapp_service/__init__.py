"""The bundled AI service: an OpenAI-compatible API and its background workers."""
