"""The service's entry points for people and programs, such as the REST API and the command line."""
