"""Ask a served model, with nothing but `requests` installed.

    python examples/serving/request.py http://localhost:8501/v1/models/copy-ntm

Sends one sequence of zeros and ones, whole, then the same step by step, and shows that
the answers are the same.
"""

import argparse
import random

import requests


def ask(url, signature, **inputs):
    """Run a signature; give its outputs, by their names if there are several."""
    body = {"signature_name": signature, "inputs": inputs}
    answer = requests.post(f"{url}:predict", json=body, timeout=60)
    if not answer.ok:
        raise SystemExit(f"{url} refused the request: {answer.text}")
    return answer.json()["outputs"]


def bits(shape):
    """Nested lists of random zeros and ones."""
    if not shape:
        return random.randint(0, 1)
    return [bits(shape[1:]) for _ in range(shape[0])]


def features_of(url):
    """Sizes of one step's input, without the batch."""
    answer = requests.get(f"{url}/metadata", timeout=60)
    if not answer.ok:
        raise SystemExit(f"{url} is no model's address: {answer.text}")
    metadata = answer.json()["metadata"]
    step = metadata["signature_def"]["signature_def"]["step"]
    dims = step["inputs"]["inputs"]["tensor_shape"].get("dim", [])
    return [int(dim["size"]) for dim in dims[1:]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="http://host:port/v1/models/name")
    parser.add_argument("--time", default=5, type=int, help="steps of the sequence")
    settings = parser.parse_args()
    features = features_of(settings.url)
    sequence = bits([1, settings.time, *features])
    whole = ask(settings.url, "serving_default", inputs=sequence)
    state = ask(settings.url, "initial_state", batch_size=1)
    for time in range(settings.time):
        state = ask(settings.url, "step", inputs=[sequence[0][time]], **state)
        (outputs,) = state.pop("outputs")
        difference = max(
            abs(a - b) for a, b in zip(outputs, whole[0][time], strict=True)
        )
        print(f"step {time}: {outputs[:3]}..., off the whole by {difference:.1e}")


if __name__ == "__main__":
    main()
