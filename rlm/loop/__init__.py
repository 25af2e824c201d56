"""The recursive engine: a root model programs its way through a corpus in a sandbox. Begin with `loop`.

`loop` runs cells; `prompts` and `instructions.md` are what the model is told, `reply` is how its reply is read. `tools`
are what its code can call: `reading_tools`, `asking_tools`, and `submit` with `evidence`, `structured` and `literals`.
`read_log` counts what was read. `environment` is everything a run works with, and `strategy` makes a draft of it.
"""
