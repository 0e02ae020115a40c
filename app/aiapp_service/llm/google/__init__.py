"""Google's Gemini API as a backend: what goes in and what comes out is OpenAI's chat completions and embeddings.

Left out is what has no counterpart there: `parallel_tool_calls`, `strict`, `logit_bias`, `user`, the detail of images.

A model that thinks signs its tool calls and wants the signatures back. They are
`extra_content.google.thought_signature` of a tool call, or of the message, as with Google's own OpenAI-compatible
endpoint; a client that sends its tool calls back whole keeps them.
https://ai.google.dev/api/generate-content, https://ai.google.dev/gemini-api/docs/thought-signatures
"""
