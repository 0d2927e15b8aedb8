from unittest import mock

from django.test import TestCase
from django.urls import reverse

from entries.models import Entry, Notification
from entries.views import ENTRIES_PER_PAGE


class BookTests(TestCase):
    def sign(self, **fields):
        return self.client.post("/", {"name": "Ada", "message": "Hello", **fields})

    def test_an_entry_shows_after_it_was_posted(self):
        response = self.client.post("/", {"name": "Ada", "message": "First!"}, follow=True)
        self.assertContains(response, "First!")
        self.assertContains(response, "Thank you for signing.")

    def test_an_entry_queues_one_notification(self):
        self.sign()
        self.assertEqual(Notification.objects.get().entry, Entry.objects.get())
        entry = Entry.objects.get()
        entry.hidden = True
        entry.save()
        self.assertEqual(Notification.objects.count(), 1)

    def test_an_empty_message_is_refused_and_said(self):
        response = self.sign(message="")
        self.assertContains(response, "This field is required.", status_code=422)
        self.assertFalse(Entry.objects.exists())

    def test_what_only_programs_fill_in_is_refused(self):
        self.assertEqual(self.sign(website="spam").status_code, 422)
        self.assertFalse(Entry.objects.exists())

    def test_markup_is_shown_as_text(self):
        self.sign(message="<script>alert(1)</script>")
        self.assertContains(self.client.get("/"), "&lt;script&gt;")

    def test_hidden_entries_are_not_shown(self):
        Entry.objects.create(name="Eve", message="rude words", hidden=True)
        self.assertNotContains(self.client.get("/"), "rude words")

    def test_older_entries_are_on_the_next_page(self):
        for number in range(ENTRIES_PER_PAGE + 1):
            Entry.objects.create(name="Ada", message=f"line {number:02}")
        self.assertNotContains(self.client.get("/"), "line 00")
        self.assertContains(self.client.get("/?page=2"), "line 00")

    def test_the_page_names_its_release(self):
        with mock.patch.dict("os.environ", TANDEM_RELEASE="r12"):
            self.assertContains(self.client.get("/"), "r12")

    def test_the_admin_asks_who_you_are(self):
        response = self.client.get(reverse("admin:entries_entry_changelist"))
        self.assertRedirects(response, "/admin/login/?next=/admin/entries/entry/")


class ServicePageTests(TestCase):
    def test_health_asks_the_database_once(self):
        with self.assertNumQueries(1):
            self.assertEqual(self.client.get("/healthz").status_code, 200)

    def test_slow_is_bounded(self):
        self.assertEqual(self.client.get("/slow?s=0").content, b"slept 0 s\n")
        for wrong in ["31", "-1", "soon", "nan", "inf"]:
            self.assertEqual(self.client.get(f"/slow?s={wrong}").status_code, 400, wrong)

    def test_boom_is_an_error(self):
        self.client.raise_request_exception = False
        self.assertEqual(self.client.get("/boom").status_code, 500)

    def test_foreign_host_names_are_refused(self):
        self.assertEqual(self.client.get("/", headers={"host": "evil.example"}).status_code, 400)
