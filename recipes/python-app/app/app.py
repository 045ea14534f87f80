"""Says hello on port 8000, and how often it has."""

from flask import Flask
from waitress import serve

application = Flask(__name__)
visits = 0


@application.get("/")
def hello() -> str:
    global visits  # noqa: PLW0603  # one process serves all
    visits += 1
    return f"Hello from python-app, visit {visits}\n"


if __name__ == "__main__":
    serve(application, listen="*:8000")
