"""Runs Django's `collectstatic` and reports what it looked at, so that it need not run again for the same input.

    python collect.py REPORT MANAGE

runs `MANAGE collectstatic` in the working folder and writes REPORT as JSON. Paths in it are below the folder that the
variable TANDEM_BUILD_ROOT names, the top of the source. Where the settings have no STATIC_ROOT, the folder below it counts that
TANDEM_STATIC_ROOT names: whoever serves the files need not be the app.

- `opened`: files that were opened to be read (or as a database)
- `listed`: folders that were listed
- `looked_up`: paths that were only asked about: is there such a file, what is it?
- `opaque`: why the run may depend on something else (another process), or null
- `missing`: folders that STATICFILES_DIRS names and that are not there
- `outcome`: `collected`, `absent` (the app has no static files), `no_root` (STATIC_ROOT is not set) or `failed`

The audit hook sees files that Python opens and folders it lists, imports included. Questions about single paths raise no
event, so the functions that ask them are wrapped. Listings are sorted: their order is the file system's otherwise,
and Django's manifest would differ from machine to machine.
"""

import json
import os
import runpy
import sys

START = os.getcwd()
ROOT = os.environ.pop("TANDEM_BUILD_ROOT", START)
STATIC_ROOT = os.environ.pop("TANDEM_STATIC_ROOT", None)
OPENED, LISTED, LOOKED_UP = set(), set(), set()
OPAQUE = []
# What libraries ask the system at import; the answers do not come from the source, which has no `.git`.
HARMLESS = {"cc", "gcc", "git", "hostname", "ld", "ldconfig", "locale", "lsb_release", "objdump", "uname"}
PROCESSES = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty")


def below_root(path):
    """The path below the top of the source; none for what lies elsewhere, in the environment, or is a descriptor."""
    if isinstance(path, int):
        return None
    try:
        path = os.fsdecode(path)
    except TypeError:
        return None
    path = os.path.normpath(os.path.join(START, path))
    if path == ROOT:
        return "."
    if not path.startswith(ROOT + "/"):
        return None
    path = path[len(ROOT) + 1 :]
    return None if path == ".venv" or path.startswith(".venv/") else path


def note(found, path):
    path = below_root(path)
    if path is not None:
        found.add(path)


def is_harmless(executable, arguments):
    if not isinstance(arguments, (str, bytes, os.PathLike)) and arguments:
        executable = arguments[0]
    try:
        return os.path.basename(os.fsdecode(executable)) in HARMLESS
    except TypeError:
        return False


def hook(event, arguments):
    if event == "open":
        path, _, flags = arguments
        if not isinstance(flags, int) or flags & os.O_ACCMODE != os.O_WRONLY:
            note(OPENED, path)
    elif event in ("os.listdir", "os.scandir"):
        note(LISTED, "." if arguments[0] is None else arguments[0])
    elif event == "sqlite3.connect":
        note(OPENED, arguments[0])
    elif event in PROCESSES and not (event == "subprocess.Popen" and is_harmless(*arguments[:2])):
        OPAQUE.append(event)


def asking(function):
    def wrapper(path, *arguments, **named):
        if named.get("dir_fd") is None:
            note(LOOKED_UP, path)
        return function(path, *arguments, **named)

    return wrapper


class Sorted:
    """A folder's entries in the order of their names, with the interface of `os.scandir`."""

    def __init__(self, entries):
        with entries:
            self.entries = iter(sorted(entries, key=lambda entry: entry.name))

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.entries)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.entries = iter(())


def install():
    listdir, scandir = os.listdir, os.scandir
    os.listdir = lambda path=".": sorted(listdir(path))
    os.scandir = lambda path=".": Sorted(scandir(path))
    for name in ("stat", "lstat", "access", "readlink"):
        setattr(os, name, asking(getattr(os, name)))
    sys.addaudithook(hook)


def give_static_root():
    """Has settings that name no folder for static files name ours, from when they are loaded on."""
    try:
        from django.conf import Settings
    except ImportError:
        # Told by `manage.py` itself.
        return
    load = Settings.__init__

    def loaded(self, *arguments, **named):
        load(self, *arguments, **named)
        if not self.STATIC_ROOT and STATIC_ROOT:
            self.STATIC_ROOT = os.path.join(ROOT, STATIC_ROOT)

    Settings.__init__ = loaded


def keep_names():
    """Has the manifest keep what the one in the source names and no finder finds.

    Who commits STATIC_ROOT may have made some of its files elsewhere, by a front end's build: Django writes a new manifest
    without them, and every page that names one of them is an error.
    """
    try:
        from django.contrib.staticfiles.storage import ManifestFilesMixin
    except ImportError:
        return
    save = ManifestFilesMixin.save_manifest

    def saved(self, *arguments, **named):
        before = self.load_manifest()
        # With its hash since Django 4.2.
        before = before[0] if isinstance(before, tuple) else before
        kept = {name: file for name, file in before.items() if name not in self.hashed_files and self.exists(file)}
        self.hashed_files.update(kept)
        save(self, *arguments, **named)
        if kept:
            what = "file that is" if len(kept) == 1 else "files that are"
            print(f"kept in {self.manifest_name}: {len(kept)} {what} only in STATIC_ROOT, such as {min(kept)}")

    ManifestFilesMixin.save_manifest = saved


def copy_anew():
    """Has `collectstatic` copy every file that it finds, also over one that the source brings in STATIC_ROOT.

    It compares times, and here all files have the time at which their content was first seen: one that was committed long
    ago would be taken for newer than what it was made from.
    """
    try:
        from django.contrib.staticfiles.management.commands.collectstatic import Command
    except ImportError:
        return
    delete = Command.delete_file

    def delete_file(self, path, prefixed_path, source_storage):
        try:
            os.utime(self.storage.path(prefixed_path), (0, 0), follow_symlinks=False)
        except (OSError, NotImplementedError):
            # It is not there, or not in a folder.
            pass
        return delete(self, path, prefixed_path, source_storage)

    Command.delete_file = delete_file


def run(manage):
    sys.path[0] = os.path.dirname(os.path.join(START, manage))
    sys.argv = [manage, "collectstatic", "--noinput"]
    give_static_root()
    keep_names()
    copy_anew()
    try:
        runpy.run_path(manage, run_name="__main__")
    except SystemExit as end:
        return end.code in (None, 0)
    return True


def outcome(done):
    """What became of it, in Django's words where it got that far."""
    if done:
        return "collected"
    from django.apps import apps
    from django.conf import settings

    if settings.configured and apps.ready and not apps.is_installed("django.contrib.staticfiles"):
        return "absent"
    if settings.configured and apps.ready and not settings.STATIC_ROOT:
        return "no_root"
    return "failed"


def setting(name):
    settings = sys.modules["django.conf"].settings if "django.conf" in sys.modules else None
    return getattr(settings, name, None) if settings is not None and settings.configured else None


def missing_folders():
    """What STATICFILES_DIRS names in vain below the top: git keeps no empty folders."""
    folders = setting("STATICFILES_DIRS") or ()
    paths = [folder[1] if isinstance(folder, (list, tuple)) else folder for folder in folders]
    paths = [path for path in paths if not os.path.exists(path)]
    return sorted({below_root(path) for path in paths} - {None, "."})


def databases():
    """Files below the top that the settings have as databases."""
    engines = (setting("DATABASES") or {}).values()
    paths = [engine.get("NAME") for engine in engines if "sqlite" in engine.get("ENGINE", "")]
    return sorted({below_root(path) for path in paths if path and ":memory:" not in str(path)} - {None, "."})


def media():
    """The folder of uploads below the top, where they go into a folder at all."""
    storage = ((setting("STORAGES") or {}).get("default") or {}).get("BACKEND") or setting("DEFAULT_FILE_STORAGE")
    root = setting("MEDIA_ROOT")
    in_folder = storage is None or str(storage).endswith("FileSystemStorage")
    folder = below_root(root) if root and in_folder else None
    return None if folder == "." else folder


def main(report, manage):
    install()
    result = "failed"
    try:
        done = run(manage)
        result = outcome(done)
    except BaseException as error:
        if isinstance(error, Exception) and type(error).__name__ == "ImproperlyConfigured":
            # Raised by staticfiles where it has no place to collect to.
            result = outcome(False)
        if result == "failed":
            raise
    finally:
        write(report, result)
    if result == "failed":
        sys.exit(1)


def write(report, result):
    found = {"opened": sorted(OPENED), "listed": sorted(LISTED), "looked_up": sorted(LOOKED_UP)}
    found["opaque"] = OPAQUE[0] if OPAQUE else None
    found["outcome"] = result
    try:
        root, url = setting("STATIC_ROOT"), setting("STATIC_URL")
        found["static_root"] = below_root(root) if root else None
        found["static_url"] = str(url) if url else None
        found["debug"] = bool(setting("DEBUG"))
        found["missing"] = missing_folders()
        found["places"] = {"databases": databases(), "media": media()}
    except Exception:
        # Settings that cannot be loaded; the error itself was printed.
        found.update(static_root=None, static_url=None, debug=False)
    with open(report, "w") as file:
        json.dump(found, file)


main(*sys.argv[1:3])
