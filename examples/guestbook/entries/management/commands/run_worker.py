import logging
import signal
import threading

from django.core.management.base import BaseCommand
from django.db import close_old_connections

from entries.notifications import send_next

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Sends queued notifications until it is told to stop (SIGTERM or Ctrl-C)."

    def add_arguments(self, parser):
        parser.add_argument("--every", type=float, default=1.0, help="seconds between two looks at an empty queue")
        parser.add_argument("--once", action="store_true", help="send what waits, then end")

    def handle(self, *args, every, once, **options):
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        log.info("worker started")
        while not stop.is_set():
            # What is being sent is always finished: the flag is looked at between two of them.
            if send_next():
                continue
            if once:
                break
            close_old_connections()
            stop.wait(every)
        log.info("worker stopped")
