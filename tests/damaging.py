"""What the tests of hostile files share: bytes that are damaged, and what a reader may do then."""

import time
import traceback

from converting import read

MUTATIONS = 100


def survives(source, path, **options):
    began = time.process_time()
    try:
        read(source, path, **options)
        outcome = "read"
    except ValueError as error:
        assert type(error) is ValueError and "\n" not in str(error) and str(error)[-1] in ".)", error
        assert traceback.extract_tb(error.__traceback__)[-1].line.startswith("raise "), error  # by us, on purpose
        outcome = "refused"
    assert time.process_time() - began < 5
    return outcome


def scratched(content, random):
    """Bytes with a few changed, cut, doubled or taken out."""
    content = bytearray(content)
    for _ in range(random.integers(1, 4)):
        place, length = random.integers(len(content)), random.integers(1, 12)
        choice = random.integers(4)
        if choice == 0:
            content[place] = random.integers(256)
        elif choice == 1:
            del content[place : place + length]
        elif choice == 2:
            content[place:place] = content[place : place + length]
        else:
            content[place:place] = [b"9", b"-", b"<", b'"', b"&", b"e9", b".", b"\xff"][random.integers(8)]
        if not content:
            break
    return bytes(content)
