"""Anthropic's Messages API as a backend: what goes in and what comes out is OpenAI's chat completions.

API version 2026-10-21, which knows no temperature, top_p and top_k any more: they are left out, as is everything
else that has no counterpart there. https://platform.claude.com/docs/en/api/versioning
"""
