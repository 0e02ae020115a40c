"""OpenAI's Responses API as a face of the gateway: translated to chat completions and back.

A response is a list of items (messages, calls of functions, reasoning) where a chat completion is one message.
Only what functions of the client can do is there: tools that OpenAI runs itself are refused.
"""
