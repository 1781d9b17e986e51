"""The front door: command line, app assembly, embedded servers, supervisor."""
