import os


def release(request):
    """The release that renders this page, for the footer; Tandem tells every instance its own."""
    return {"release": os.environ.get("TANDEM_RELEASE", "development")}
