def format_exc():
    return "(no traceback is available here: print the exception itself, as in `except Exception as e: print(repr(e))`)"


def print_exc():
    print(format_exc())
