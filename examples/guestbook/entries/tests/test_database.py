import tempfile
from pathlib import Path

from django.db.utils import ConnectionHandler
from django.test import SimpleTestCase

from guestbook.database import postgresql, sqlite


class DatabaseTests(SimpleTestCase):
    def test_a_url_names_every_part(self):
        settings = postgresql("postgres://ada:p%40ss@db.internal:6432/guest%20book?sslmode=require")
        self.assertEqual(settings["USER"], "ada")
        self.assertEqual(settings["PASSWORD"], "p@ss")
        self.assertEqual(settings["HOST"], "db.internal")
        self.assertEqual(settings["PORT"], 6432)
        self.assertEqual(settings["NAME"], "guest book")
        self.assertEqual(settings["OPTIONS"], {"sslmode": "require"})

    def test_another_database_is_refused_by_name(self):
        with self.assertRaisesMessage(ValueError, "mysql"):
            postgresql("mysql://localhost/guestbook")

    def test_sqlite_lets_readers_and_a_writer_work_at_once(self):
        with tempfile.TemporaryDirectory() as folder:
            connection = ConnectionHandler({"default": {}, "book": sqlite(Path(folder) / "book.sqlite3")})["book"]
            with connection.cursor() as cursor:
                mode = cursor.execute("PRAGMA journal_mode").fetchone()
                patience = cursor.execute("PRAGMA busy_timeout").fetchone()
            connection.close()
        self.assertEqual(mode, ("wal",))
        self.assertEqual(patience, (20_000,))
