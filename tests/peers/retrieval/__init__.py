"""Other libraries' hybrid search beside ours, on one folder of BEIR-format data; see ../README.md."""
