"""A small language model in a process of its own: OpenVINO GenAI behind the OpenAI protocol on a Unix socket."""
