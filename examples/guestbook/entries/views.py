import time

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import connection
from django.http import HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from entries.forms import EntryForm
from entries.models import Entry

GREETING = "Say hello, leave a line."
ENTRIES_PER_PAGE = 10
SLOWEST_SECONDS = 30


@require_http_methods(["GET", "HEAD", "POST"])
def index(request):
    """The book and the form to sign it."""
    form = EntryForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Thank you for signing.")
        return redirect("entries:index")
    page = Paginator(Entry.objects.filter(hidden=False), ENTRIES_PER_PAGE).get_page(request.GET.get("page"))
    status = 422 if form.errors else 200
    return render(request, "entries/index.html", {"greeting": GREETING, "form": form, "page": page}, status=status)


@require_GET
def healthz(request):
    """Healthy means that the database answers; cheap enough to be asked each second."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("ok\n", content_type="text/plain")


@require_GET
def slow(request):
    """Answers after `s` seconds, to see what a deploy does to requests that take long."""
    try:
        seconds = float(request.GET.get("s", "1"))
    except ValueError:
        return HttpResponseBadRequest("s must be a number of seconds\n", content_type="text/plain")
    if not 0 <= seconds <= SLOWEST_SECONDS:
        return HttpResponseBadRequest(f"s must be between 0 and {SLOWEST_SECONDS}\n", content_type="text/plain")
    time.sleep(seconds)
    return HttpResponse(f"slept {seconds:g} s\n", content_type="text/plain")


@require_GET
def boom(request):
    """Fails, to see what an error looks like in the logs."""
    raise RuntimeError("boom: this page always fails")
