"""The recursive engine: a root model programs its way through a corpus in a sandbox. Begin with `loop`.

`loop` runs cells; `prompts` and `instructions.md` are what the model is told. `tools` are what its code can call, and
`submit` takes its answer, with `evidence`. `read_log` counts what was read. `environment` is everything a run works
with, and `strategy` makes a draft of it.
"""
