"""The recursive engine: a root model programs its way through a corpus in a sandbox. Start reading with `loop`.

`loop` runs cells; `prompts` and `instructions.md` contain the text that the model reads. `tools` are the functions that
the model's code can call, and `submit` accepts its answer, with the help of `evidence`. `read_log` counts how much was
read. `environment` holds the parts of a run, and `strategy` turns the result into a draft.
"""
