"""Compiles Python files to unchecked-hash bytecode, as if each lay below a given prefix.

    python -I -S compile.py ROOT PREFIX OUT LIST WORKERS

LIST names paths below ROOT, one a line. The bytecode of `a/b.py` is written to `OUT/a/__pycache__/b.TAG.pyc` and names
`PREFIX/a/b.py` as its source. A file that does not compile has no bytecode; it is told on standard output as
`path<TAB>line<TAB>message`.

This runs for a single changed file too, so it imports only what every interpreter has loaded anyway.
"""

import _imp
import marshal
import posix
import sys
from _frozen_importlib_external import MAGIC_NUMBER

# PEP 552: named by the hash of the source, which nobody compares when the module is loaded.
UNCHECKED_HASH = (1).to_bytes(4, "little")
TAG = sys.implementation.cache_tag


def read(path):
    with open(path, "rb") as file:
        return file.read()


def make_folder(path):
    try:
        posix.mkdir(path)
    except FileExistsError:
        pass
    except FileNotFoundError:
        make_folder(path.rpartition("/")[0])
        make_folder(path)


def compile_file(root, prefix, out, path):
    source = read(root + "/" + path)
    try:
        code = compile(source, prefix + "/" + path, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        print(path, line, getattr(error, "msg", None) or error, sep="\t", flush=True)
        return
    digest = _imp.source_hash(int.from_bytes(MAGIC_NUMBER, "little"), source)
    folder, slash, name = path.rpartition("/")
    folder = out + "/" + folder + slash + "__pycache__"
    make_folder(folder)
    with open(folder + "/" + name[:-3] + "." + TAG + ".pyc", "wb") as file:
        file.write(MAGIC_NUMBER + UNCHECKED_HASH + digest + marshal.dumps(code))


def main(root, prefix, out, listing, workers):
    # Warnings about other people's code ("invalid escape sequence") help nobody here.
    sys.warnoptions.append("ignore")
    import warnings

    warnings.simplefilter("ignore")
    paths = [path for path in read(listing).decode().split("\n") if path]
    count = int(workers)
    children = []
    for number in range(1, count):
        child = posix.fork()
        if child == 0:
            children = []
            paths = paths[number::count]
            break
        children.append(child)
    else:
        paths = paths[::count]
    for path in paths:
        compile_file(root, prefix, out, path)
    failed = any(posix.waitpid(child, 0)[1] for child in children)
    sys.exit(1 if failed else 0)


main(*sys.argv[1:])
