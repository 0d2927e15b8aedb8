"""Tells which folders STATICFILES_DIRS names that are not there: git keeps no empty ones.

    python folders.py REPORT MANAGE

loads the settings of the project of MANAGE, and nothing else, and writes REPORT as JSON: paths below the folder that the
variable TANDEM_BUILD_ROOT names, the top of the source.
"""

import json
import os
import sys

START = os.getcwd()
ROOT = os.environ.pop("TANDEM_BUILD_ROOT", START)


def main(report, manage):
    sys.path[0] = os.path.dirname(os.path.join(START, manage))
    from django.conf import settings

    folders = [folder[1] if isinstance(folder, (list, tuple)) else folder for folder in settings.STATICFILES_DIRS]
    paths = {os.path.normpath(os.path.join(START, os.fspath(folder))) for folder in folders}
    missing = sorted(path[len(ROOT) + 1 :] for path in paths if path.startswith(ROOT + "/") and not os.path.exists(path))
    with open(report, "w") as file:
        json.dump(missing, file)


main(*sys.argv[1:3])
