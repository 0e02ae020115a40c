"""Objects in a store with the S3 API, and the files that clients keep in it."""
