"""Models of one's own: OpenAI's fine-tuning API, passed on to a provider that offers it.

`api` takes a job in, a worker's job (`run`) uploads the training file, has the provider train, and mirrors what the
provider tells. The model that comes of it routes for the tenant that had it made, in every process: see `models`.
"""
