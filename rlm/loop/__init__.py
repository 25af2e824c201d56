"""The recursive engine: a root model programs its way through a corpus in a sandbox. Start reading with `loop`.

`loop` runs cells; `prompts` and `instructions.md` contain what the model reads. `tools` are the functions that its code
can call, and `submit` takes its answer, with `evidence`. `read_log` counts what was read. `environment` holds the parts
of a run, and `strategy` turns the result into a draft.
"""
