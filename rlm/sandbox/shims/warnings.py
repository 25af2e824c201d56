def filterwarnings(*_, **__):
    pass


def simplefilter(*_, **__):
    pass


def warn(message, *_, **__):
    print(f"UserWarning: {message}")
