"""Commands about a new model on a server: ``rollout status``, ``start``, ``promote`` and ``abort``.

It knows the server's address and what to ask of it; it knows nothing of how a rollout goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from .arguments import HELP, AsJson, Verbose
from .failures import MISTAKE
from .streams import print_json, say

if TYPE_CHECKING:
    import httpx

group = typer.Typer(
    help="Roll out a new model on a server, step by step.\n\n\b\nExample:\n  autoglm rollout status",
    context_settings=HELP,
)

Address = Annotated[str, typer.Option(envvar="AUTOGLM_ADDRESS", metavar="URL", help="Where the server is.")]
Token = Annotated[
    str | None,
    typer.Option(envvar="AUTOGLM_TOKEN", help="What the server knows you by; better kept in AUTOGLM_TOKEN."),
]
HERE = "http://127.0.0.1:8765"
SECONDS = 60.0


@group.command()
def status(address: Address = HERE, token: Token = None, as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Show what is live, how the candidate does, and what was decided.

    \b
    Example:
      autoglm rollout status
    """
    show(asked(address, token), as_json)


@group.command()
def start(
    candidate: Annotated[str, typer.Option(metavar="BUNDLE", help="A version that is served, or a bundle there.")],
    model: Annotated[str, typer.Option(help="The public name it is for; the first that is served otherwise.")] = "",
    shadow: Annotated[float, typer.Option(help="The share of requests whose copy is compared.")] = 0.1,
    canary: Annotated[
        str | None,
        typer.Option(help="What it may answer: answers, embeddings or both, with a comma. By default all it can."),
    ] = None,
    steps: Annotated[
        str, typer.Option(help="The percentages of people it answers, one after another.")
    ] = "1,5,25,50,100",
    requests: Annotated[int, typer.Option(help="The least comparisons at each step.")] = 200,
    seconds: Annotated[float, typer.Option(help="The least time at each step.")] = 300.0,
    probe: Annotated[
        str | None, typer.Option(metavar="PATH", help="A folder of pictures on the server, or a file of known queries.")
    ] = None,
    by_hand: Annotated[bool, typer.Option("--by-hand", help="Let only a person make it live.")] = False,
    worse: Annotated[float | None, typer.Option(help="Back once its score on the probe is lower by more.")] = None,
    margin: Annotated[float | None, typer.Option(help="On once that is proven to be lower by less.")] = None,
    slower: Annotated[float | None, typer.Option(help="Back once the median ratio of times is above this.")] = None,
    disagreement: Annotated[
        float | None, typer.Option(help="Without known queries: back once it disagrees by more, on once by less.")
    ] = None,
    address: Address = HERE,
    token: Token = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Start a rollout: the candidate is compared first, and answers only as it proves itself.

    \b
    Examples:
      autoglm rollout start --candidate photos@2 --shadow 0.1
      autoglm rollout start --candidate models/photos-2 --probe known.jsonl --canary answers
    """
    rules = {"worse": worse, "margin": margin, "slower": slower, "disagreement": disagreement}
    wanted = {
        "action": "start",
        "candidate": candidate,
        "model": model,
        "shadow": shadow,
        "canary": None if canary is None else [kind.strip() for kind in canary.split(",") if kind.strip()],
        "steps": [percent(step) for step in steps.split(",")],
        "requests": requests,
        "seconds": seconds,
        "probe": probe,
        "by_hand": by_hand,
        "rules": {name: value for name, value in rules.items() if value is not None},
    }
    show(asked(address, token, wanted), as_json)


@group.command()
def promote(address: Address = HERE, token: Token = None, as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Make the candidate live now, whatever the rules say.

    \b
    Example:
      autoglm rollout promote
    """
    show(asked(address, token, {"action": "promote"}), as_json)


@group.command()
def abort(address: Address = HERE, token: Token = None, as_json: AsJson = False, verbose: Verbose = False) -> None:
    """End the rollout now; everything is answered as before it.

    \b
    Example:
      autoglm rollout abort
    """
    show(asked(address, token, {"action": "abort"}), as_json)


def percent(text: str) -> float:
    """A percentage as a share."""
    try:
        return float(text.strip().removesuffix("%")) / 100
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no percentage; give steps such as 1,5,25,50,100") from None


def asked(address: str, token: str | None, wanted: dict[str, Any] | None = None) -> dict[str, Any]:
    """The server's reply to an action, or to a look where there is none; a refusal is its sentence and exit code 2."""
    from ..errors import needing

    with needing("autoglm rollout", "serve"):
        import httpx
    url = f"{address.rstrip('/')}/v1/rollout"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with httpx.Client(timeout=SECONDS, headers=headers) as client:
            reply = client.get(url) if wanted is None else client.post(url, json=wanted)
        body = reply.json()
        if reply.is_success and isinstance(body, dict) and "decisions" in body:
            return body
        refuse(said(reply, body))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        refuse(f"No server answers at {address} ({error}): start one with 'autoglm serve', or give --address.")
    except ValueError:
        refuse(f"What answers at {address} is no server of rollouts: give another --address.")


def said(reply: httpx.Response, body: Any) -> str:
    """The sentence of a reply that is a refusal."""
    try:
        return str(body["error"]["message"])
    except (KeyError, TypeError):
        return f"The server answered with status {reply.status_code}, and no reason."


def refuse(sentence: str) -> NoReturn:
    """Ends the command."""
    say(sentence)
    raise typer.Exit(MISTAKE)


def show(stands: dict[str, Any], as_json: bool) -> None:
    """Prints how the rollout stands."""
    from .rollout_words import show_rollout

    if as_json:
        print_json(stands)
    else:
        show_rollout(stands)
