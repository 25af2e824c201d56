"""A small language model in its own process: OpenVINO GenAI behind the OpenAI protocol on a Unix socket."""
