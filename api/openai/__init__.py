"""OpenAI's protocols over our answers: `/v1/chat/completions`, `/v1/responses`, `/v1/models`.

A client needs the service's address and a key, nothing else. What these protocols have no place for stands in a member
`leadline` of requests and replies.
"""
