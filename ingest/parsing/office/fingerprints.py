"""Fingerprints of the Office parsers, in a module that does not load lxml."""

DOCX_PARSER = "docx-2"
PPTX_PARSER = "pptx-2"
ODT_PARSER = "odt-1"
ODP_PARSER = "odp-2"
ENCRYPTED_OFFICE_PARSER = "encrypted-office-1"
