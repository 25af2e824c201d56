"""OpenAI's protocols over our answers: `/v1/chat/completions`, `/v1/responses`, `/v1/models`.

Clients only need the service's address and a key. Anything these protocols cannot express is in the member `leadline`
of requests and responses.
"""
