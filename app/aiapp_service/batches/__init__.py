"""Many requests in one file, answered in the background: OpenAI's Batch API.

`api` takes a batch in, a worker's job (`run`) validates its lines, asks them through the same stages as any request,
and delivers the answers as files. What is done stands in PostgreSQL: whoever goes on with a batch, after a crash or a
pause, asks only what has no result yet.
"""
