"""Anthropic's Messages API as a face: clients speak it, everything behind it is OpenAI's chat completions."""
