"""The recursive engine: a root model explores a corpus by writing programs that run in a sandbox.

Start reading with `loop`, which runs cells. `prompts` and `instructions.md` contain the text that the model reads.
`tools` contains the functions that the model's code can call. `submit` accepts the model's answer, with the help of
`evidence`. `read_log` records how much was read. `environment` holds the components of a run, and `strategy` converts
the result to a draft. `replay` checks whether an answer was computed by code.
"""
