import os
import signal
import threading
import time
from datetime import timedelta
from unittest import mock

from django.core import mail
from django.core.management import call_command
from django.test import TransactionTestCase
from django.utils import timezone

from entries.models import Entry, Notification
from entries.notifications import send_next

State = Notification.State


class WorkerTests(TransactionTestCase):
    # Not within one transaction: the worker closes connections that have become too old.
    def setUp(self):
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        for number, handler in handlers.items():
            self.addCleanup(signal.signal, number, handler)

    def test_the_owner_gets_a_mail_for_each_entry(self):
        Entry.objects.create(name="Ada", message="Hello")
        Entry.objects.create(name="Bob\nBcc: all@example.org", message="Hi")
        call_command("run_worker", once=True)
        self.assertEqual(
            [message.subject for message in mail.outbox],
            ["Ada signed your guestbook", "Bob Bcc: all@example.org signed your guestbook"],
        )
        self.assertFalse(Notification.objects.exclude(state=State.SENT).exists())

    def test_a_notification_is_claimed_by_one_worker_only(self):
        Entry.objects.create(name="Ada", message="Hello")
        self.assertIsNotNone(Notification.objects.claim())
        self.assertIsNone(Notification.objects.claim())

    def test_what_a_dead_worker_had_claimed_is_sent_later(self):
        Entry.objects.create(name="Ada", message="Hello")
        Notification.objects.claim()
        long_ago = timezone.now() - Notification.CLAIM - timedelta(seconds=1)
        Notification.objects.update(claimed=long_ago)
        self.assertTrue(send_next())
        self.assertEqual(len(mail.outbox), 1)

    def test_a_mail_server_that_is_away_is_tried_again_and_then_given_up(self):
        Entry.objects.create(name="Ada", message="Hello")
        with mock.patch("entries.notifications.send_mail", side_effect=ConnectionRefusedError):
            for attempt in range(Notification.MOST_ATTEMPTS):
                self.assertEqual(Notification.objects.get().state, State.QUEUED, attempt)
                with self.assertLogs("entries.notifications", "ERROR"):
                    self.assertFalse(send_next())
        self.assertEqual(Notification.objects.get().state, State.FAILED)

    def test_sigterm_ends_the_worker_after_the_mail_in_hand(self):
        Entry.objects.create(name="Ada", message="Hello")
        Entry.objects.create(name="Bob", message="Hi")

        def told_to_stop_while_sending(**_):
            os.kill(os.getpid(), signal.SIGTERM)

        with mock.patch("entries.notifications.send_mail", side_effect=told_to_stop_while_sending):
            call_command("run_worker", every=0.01)
        states = Notification.objects.order_by("id").values_list("state", flat=True)
        self.assertEqual(list(states), [State.SENT, State.QUEUED])

    def test_sigterm_wakes_an_idle_worker(self):
        before = signal.getsignal(signal.SIGTERM)

        def terminate():
            while signal.getsignal(signal.SIGTERM) is before:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)

        thread = threading.Thread(target=terminate)
        thread.start()
        self.addCleanup(thread.join)
        call_command("run_worker", every=3600)
