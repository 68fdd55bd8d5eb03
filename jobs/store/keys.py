"""Keys of the store, all of them text in UTF-8.

| key | value |
|---|---|
| `default:PAGE:NN` | a page's default variant NN, a draw (codec.py) |
| `layout:PAGE:SUBJECT` | a subject's layout, a draw (codec.py) |
| `list:KEY` | JSON array of product ids: `list:bestsellers`, `list:trending`, `list:category:NAME` |
| `names` | what the indices in draws stand for (codec.py) |
| `own:SUBJECT` | JSON object: `category1`, `category2`: a name; NAME: [product id, ...]; `own:` is nobody's |
| `page:PAGE` | JSON object: `candidates`, what it chooses from; `variants` and `bought_days`, if any |
| `policy:PAGE` | JSON object: what ranks the page for who has no layout (jobs/on_request.py) |
| `product:ID` | JSON object: what a tile shows |
| `versions` | JSON object: feature flags and their rules (flags.py) |
| `versions:SUBJECT` | JSON object: versions that role, region or segment give a subject (flags.py) |
| `widget:NAME` | JSON object: the widget's labels |
| `~generation` | JSON: which generation this is, with counts: the heartbeat, written last |
A variant of a page that is not its main one stands under `PAGE@VARIANT` for PAGE (variants.py).
"""

from zlib import crc32

GENERATION = b"~generation"
NAMES = b"names"
VERSIONS = b"versions"
LAYOUT = b"layout:"
DEFAULT_PREFIX = "default:"


def draw_key(subject: str, page: str) -> bytes:
    """Return the key of a subject's draw; a default variant's subject is its key."""
    return (subject if subject.startswith(DEFAULT_PREFIX) else f"layout:{page}:{subject}").encode()


def default_key(page: str, number: int) -> bytes:
    """Return the key of a page's default variant."""
    return f"{DEFAULT_PREFIX}{page}:{number:02d}".encode()


def page_key(page: str) -> bytes:
    """Return the key of what is known of a page."""
    return f"page:{page}".encode()


def policy_key(page: str) -> bytes:
    """Return the key of what ranks a page for who has no layout of their own."""
    return f"policy:{page}".encode()


def versions_key(subject: str) -> bytes:
    """Return the key of the versions that rules give a subject."""
    return f"versions:{subject}".encode()


def variant(subject: str, page: str, variants: int) -> int:
    """Return which of a page's default variants a subject sees: always the same, all equally often."""
    return crc32(f"{page}:{subject}".encode()) % variants
