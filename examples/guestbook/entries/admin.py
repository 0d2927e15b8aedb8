from django.contrib import admin

from entries.models import Entry, Notification


@admin.action(description="Hide selected entries")
def hide(modeladmin, request, queryset):
    queryset.update(hidden=True)


@admin.action(description="Send selected notifications again")
def send_again(modeladmin, request, queryset):
    queryset.update(state=Notification.State.QUEUED, attempts=0, sent=None)


@admin.register(Entry)
class EntryAdmin(admin.ModelAdmin):
    list_display = ["name", "message", "created", "hidden"]
    list_filter = ["hidden", "created"]
    search_fields = ["name", "message"]
    date_hierarchy = "created"
    actions = [hide]


@admin.register(Notification)
class NotificationAdmin(admin.ModelAdmin):
    list_display = ["id", "entry", "state", "attempts", "created", "sent"]
    list_filter = ["state"]
    list_select_related = ["entry"]
    actions = [send_again]
