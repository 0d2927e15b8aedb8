"""Sends what the web processes queued. The worker process calls `send_next` in a loop."""

import logging

from django.conf import settings
from django.core.mail import send_mail

from entries.models import Notification

log = logging.getLogger(__name__)


def send_next() -> bool:
    """Sends the oldest notification that waits; False when there is none."""
    notification = Notification.objects.claim()
    if notification is None:
        return False
    try:
        deliver(notification)
    except OSError:
        # The mail server is away: the entry is safe, so try again later instead of ending the worker.
        log.exception("notification %s was not sent, attempt %s", notification.pk, notification.attempts)
        notification.mark_not_sent()
        return False
    notification.mark_sent()
    log.info("notification %s sent, about entry %s", notification.pk, notification.entry_id)
    return True


def deliver(notification: Notification) -> None:
    entry = notification.entry
    send_mail(
        # A mail's subject is one line, whatever the visitor typed as name.
        subject=" ".join(f"{entry.name} signed your guestbook".split()),
        message=entry.message,
        from_email=settings.DEFAULT_FROM_EMAIL,
        recipient_list=[settings.OWNER_EMAIL],
    )
