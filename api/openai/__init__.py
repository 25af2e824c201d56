"""OpenAI's protocols for our answers: `/v1/chat/completions`, `/v1/responses`, `/v1/models`.

Clients need only the service's address and a key. Anything that these protocols cannot express is in the `leadline`
field of requests and responses.
"""
