"""Programs that speak OpenAI's protocols, as they are, against a service of ours."""
