"""A whole cluster on this machine under load, each part of which fails in every way in turn."""
