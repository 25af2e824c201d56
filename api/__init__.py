"""The entry points of the service, for people and programs: REST and the command line, among others."""
