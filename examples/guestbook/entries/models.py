from datetime import timedelta

from django.db import models, transaction
from django.db.models import F, Q
from django.utils import timezone


class Entry(models.Model):
    """One line in the book."""

    name = models.CharField(max_length=60)
    message = models.TextField(max_length=500)
    created = models.DateTimeField(auto_now_add=True)
    hidden = models.BooleanField(default=False, help_text="Hidden entries stay in the book but are not shown.")

    class Meta:
        ordering = ["-created", "-id"]
        verbose_name_plural = "entries"
        indexes = [models.Index(fields=["hidden", "-created"], name="entry_shown")]

    def __str__(self):
        return f"{self.name}, {self.created:%Y-%m-%d %H:%M}"

    def save(self, *args, **kwargs):
        """Saves the entry; a new one queues the owner's notification in the same transaction."""
        new = self._state.adding
        with transaction.atomic():
            super().save(*args, **kwargs)
            if new:
                Notification.objects.create(entry=self)


class NotificationQuerySet(models.QuerySet):
    def claim(self):
        """Takes the oldest notification that waits, or None.

        The update is conditional, so of two workers that saw the same row only one gets it: during a deploy
        the workers of the old and the new release run side by side.
        """
        for pk in self.due().order_by("id").values_list("pk", flat=True)[:10]:
            claimed = self.due().filter(pk=pk).update(
                state=Notification.State.SENDING, claimed=timezone.now(), attempts=F("attempts") + 1
            )
            if claimed:
                return self.select_related("entry").get(pk=pk)
        return None

    def due(self):
        """What waits, and what a worker claimed and then did not live to send."""
        lost = timezone.now() - Notification.CLAIM
        return self.filter(
            Q(state=Notification.State.QUEUED) | Q(state=Notification.State.SENDING, claimed__lt=lost)
        )


class Notification(models.Model):
    """A mail to the owner about one entry, sent by the worker at least once."""

    CLAIM = timedelta(minutes=5)
    MOST_ATTEMPTS = 5

    class State(models.TextChoices):
        QUEUED = "queued"
        SENDING = "sending"
        SENT = "sent"
        FAILED = "failed"

    entry = models.ForeignKey(Entry, on_delete=models.CASCADE, related_name="notifications")
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    created = models.DateTimeField(auto_now_add=True)
    claimed = models.DateTimeField(null=True, blank=True)
    sent = models.DateTimeField(null=True, blank=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["state", "id"], name="notification_queue")]

    def __str__(self):
        return f"notification {self.pk} ({self.state})"

    def mark_sent(self):
        self.state, self.sent = self.State.SENT, timezone.now()
        self.save(update_fields=["state", "sent"])

    def mark_not_sent(self):
        """Back into the queue, until it was tried often enough."""
        tried = self.attempts >= self.MOST_ATTEMPTS
        self.state = self.State.FAILED if tried else self.State.QUEUED
        self.save(update_fields=["state"])
